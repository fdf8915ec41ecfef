"""Build commands from verbs of the Python API, and options that the command line adds to them."""

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from ..api.options import Model as ApiModel
from ..api.options import PathLike, SettingsLike
from ..errors import ConfigError
from ..messages import printable


class Group(TyperGroup):
    """A command of sub-commands, whose `--help` answers before pydantic is loaded."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return `--help` with a default, for which typer would ask pydantic."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


# Arguments of every typer.Typer here: plain help, and errors that are left to `main`.
PLAIN: dict[str, Any] = {
    "cls": Group, "add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False,
}  # fmt: skip

# The types of a shell for those of Python that a verb takes.
_SHELL_TYPES: dict[Any, Any] = {
    PathLike: Path,
    PathLike | None: Path | None,
    SettingsLike: list[str] | None,
    list[PathLike]: list[Path],
    list[PathLike] | None: list[Path] | None,
}

Command = Callable[..., None]
Options = dict[str, Any]  # the arguments of a verb
Show = Callable[[Any, Options], Any]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def seconds_of(text: str) -> float:
    """Return the seconds of `2h`, `90m`, `1h30m`, `45s` or `3600`; raises ConfigError for 0 and for no such time."""
    match = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip().lower())
    parts = match.groups(default="0") if match else ()
    seconds = sum(int(part) * size for part, size in zip(parts, (86400, 3600, 60, 1), strict=False))
    if not seconds:
        raise ConfigError(
            f"--max-time {text}: is not a time above 0 in days, hours, minutes, seconds; give for instance 1d, 2h, "
            "1h30m, 45s"
        )
    return float(seconds)


MaxTime = Annotated[
    float | None,
    typer.Option(
        "--max-time",
        parser=seconds_of,
        metavar="TIME",
        help="Save and stop after this time: 2h, 1h30m, 90m, 1d; a number is in seconds.",
    ),
]


def command(verb: Callable[..., Any], text: str) -> Callable[[Command], Command]:
    """Build a command from a verb: it takes the verb's annotated parameters, and has its help.

    The decorated function takes the verb's arguments as one dictionary, then its own options by name.

    Args:
        verb: A function of the Python API, its parameters annotated with `typer.Option` or `typer.Argument`.
        text: The examples at the end of the help, as `examples` takes them.
    """

    def build(function: Command) -> Command:
        _, *own = inspect.signature(function).parameters.values()
        of_verb = inspect.signature(verb).parameters.values()
        inherited = [_for_shell(each) for each in of_verb if hasattr(each.annotation, "__metadata__")]

        @wraps(function)
        def run(**given: Any) -> None:
            mine = {each.name: given.pop(each.name) for each in own}
            if "settings" in given:
                given["settings"] = given["settings"] or ()
            function(given, **mine)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [each.replace(kind=keyword) for each in (*inherited, *own)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__doc__ = re.split(r"\n\n\s*(?:Args|Returns|Raises):", inspect.getdoc(verb) or "")[0]
        return examples(text)(run)

    return build


def verb_command(
    verb: Callable[..., Any], text: str, show: Show | None = None, document: Show | None = None
) -> Command:
    """Build a command that does nothing but `run_verb`, with `--json`."""

    @command(verb, text)
    def run(options: Options, *, as_json: Json = False) -> None:
        run_verb(verb, options, show, document, as_json=as_json)

    return run


def run_verb(
    verb: Callable[..., Any],
    options: Options,
    show: Show | None = None,
    document: Show | None = None,
    *,
    as_json: bool,
) -> Any:
    """Call a verb, show its result, and return it.

    Args:
        verb: A function of the Python API that takes a `reporter`.
        options: Its other arguments.
        show: Prints the result for people, given it and the options; None: its `lines`, or itself as a list of files.
        document: Returns the result for JSON, given it and the options; None: its `document()`, or itself.
        as_json: Print it as one JSON document.
    """
    from .console import ConsoleReporter, print_lines

    if as_json and options.get("out") == "-":
        raise ConfigError("-o - and --json both write to stdout; give one")
    with ConsoleReporter() as reporter:
        result = verb(**options, reporter=reporter)
    if as_json:
        print_json(document(result, options) if document else getattr(result, "document", lambda: result)())
    elif show:
        show(result, options)
    else:
        lines = getattr(result, "lines", result)
        for line in lines if "-" not in lines else ():  # else an image went to stdout
            print_lines(line)
    return result


def examples(text: str) -> Callable[[Command], Command]:
    """Add examples to a command that is built from no verb: command lines begun with `$ `, and what they print."""

    def add(function: Command) -> Command:
        blocks = textwrap.indent(inspect.cleandoc(text), "  ").replace("\n\n", "\n\n\b\n")  # \b keeps their lines
        function.epilog = f"Examples:\n\n\b\n{blocks}"  # type: ignore[attr-defined]
        return function

    return add


def subcommand(group: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Add a command to a group, with its examples."""

    def add(function: Command) -> Command:
        group.command(name, epilog=getattr(function, "epilog", None))(function)
        return function

    return add


def _for_shell(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter with the type and default that a shell gives it."""
    kind, info = get_args(parameter.annotation)
    default = None if kind == SettingsLike else parameter.default
    kind = _SHELL_TYPES.get(kind, kind)
    if parameter.name in ("data", "source"):  # as given, also where it ends in /
        kind = {Path: str, Path | None: str | None}.get(kind, kind)
    return parameter.replace(annotation=Annotated[kind, info], default=default)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; a path in it whose bytes are not UTF-8 becomes a file: URI."""
    sys.stdout.write(json.dumps(_as_text(finite(document)), indent=2).replace("\x7f", "\\u007f") + "\n")


def _as_text(document: Any) -> Any:
    """Return a document without text that JSON has not: a lone surrogate, which stands for an undecodable byte."""
    from ..messages import portable_path

    if isinstance(document, dict):
        return {_as_text(key): _as_text(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_as_text(each) for each in document]
    if isinstance(document, str) and portable_path(document) != document:
        return portable_path(document) if Path(document).exists() else printable(document)
    return document


def finite(document: Any) -> Any:
    """Return a document with null for numbers that are not finite, which JSON has not."""
    return json.loads(json.dumps(document), parse_constant=lambda _: None)


# For commands of other packages


Model = Annotated[str | None, get_args(ApiModel)[1]]


def find_snapshot(model: str | None) -> Path:
    """Return the snapshot file that MODEL names: a file itself, or the newest valid snapshot of a run.

    Raises:
        SnapshotError: There is none.
    """
    from ..checkpoint import find_checkpoint
    from .console import ConsoleReporter

    with ConsoleReporter() as reporter:
        return find_checkpoint(model, reporter=reporter).path
