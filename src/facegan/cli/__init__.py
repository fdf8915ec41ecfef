"""The command line: a menu of verbs, each imported when it is asked for.

No other code of facegan prints, parses arguments or exits. Commands are plugins like any other: a function with typer
annotations, or a `typer.Typer` of sub-commands.
"""

import errno
import os
import re
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.main import get_command

from .. import __version__
from ..errors import FaceganError, PeerFailedError
from ..messages import one_line, os_reason, printable
from ..plugins import claims, find, names
from .console import open_streams, print_lines
from .options import PLAIN, Group
from .signals import Ended, came, take

WRONG_FILE = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


GROUPS = {
    "Data": ("download", "data", "pack", "cache"),
    "Train": ("train", "resume", "runs", "presets"),
    "Use": (
        "sample", "interpolate", "arithmetic", "directions", "edit", "project", "timelapse", "whois", "import",
    ),
    "Judge": ("evaluate", "neighbours", "plot", "report"),
    "Look after": ("doctor", "plugins"),
}  # fmt: skip


class Menu(Group):
    """The commands of the plugin table; a command is imported when it is asked for, a foreign one only to be run."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return names("command")

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return the command of a name."""
        part = find("command", cmd_name)
        if isinstance(part, typer.Typer):
            return get_command(part)
        app = typer.Typer(**PLAIN)
        app.command(cmd_name, epilog=getattr(part, "epilog", None))(part)
        return get_command(app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """List the commands in `facegan --help`, group by group."""
        foreign = tuple(name for name in names("command") if not any(name in group for group in GROUPS.values()))
        width = max(len(printable(name)) for name in names("command"))
        for title, group in {**GROUPS, "From installed packages": foreign}.items():
            if group:
                with formatter.section(title):
                    formatter.write_dl([(printable(name).ljust(width), printable(_summary(name))) for name in group])


def _summary(name: str) -> str:
    """Return the first line of a command's help; the origin of a foreign command, which is not imported for it."""
    owners = claims("command")[name]
    if len(owners) > 1 or not owners[0].target.startswith("facegan.cli."):
        return f"(from {' and '.join(owner.origin for owner in owners)})"
    part = owners[0].load()
    text = part.info.help if isinstance(part, typer.Typer) else part.__doc__
    return str(text).strip().partition("\n")[0]


def _print_version(wanted: bool) -> None:
    if wanted:
        print_lines(f"facegan {__version__}")
        raise typer.Exit


app = typer.Typer(**PLAIN | {"cls": Menu})


@app.callback(epilog="Start with: facegan train, then: facegan sample -n 64 -o grid.png")
def facegan(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Train a generator of faces, evaluate it honestly and use it."""
    del version, debug  # the one has ended the program; main reads the other, which also applies before parsing


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 the user's mistake, 1 another failure, 130 Ctrl-C, 143 SIGTERM.

    A failure is one line on stderr; `--debug` before the command shows its traceback.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments[:2]
    code = 1
    came.clear()
    open_streams()
    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(each) != signal.SIG_IGN:
                signal.signal(each, take)  # through every `finally`, so that nothing is left half-done
    try:
        code = get_command(app).main(arguments or ["--help"], prog_name="facegan", standalone_mode=False) or 0
        if code == 130:  # Ctrl-C, which a command may turn into its own exit after a line of its own
            _complain("stopped", None, debug)
    except (KeyboardInterrupt, typer.Abort, EOFError):
        _complain("stopped", None, debug)
        code = 130
    except Ended as error:
        _complain("stopped", None, debug)
        code = 128 + error.number
    except Exception as error:
        if came:  # an import that a signal broke off may say so in its own way
            _complain("stopped", error, debug)
            code = 128 + came[-1]
        else:
            code = _explain(error, debug)
    sys.exit(_flush() or code)


def _explain(error: Exception, debug: bool) -> int:
    """Print an error as one line; return the exit code."""
    if isinstance(error, PeerFailedError):
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # whoever read our output has gone: there is no one left to inform
        return 0
    if isinstance(error, FaceganError):
        message, code = str(error), error.exit_code
    elif isinstance(error, typer.TyperException):  # a mistake in the arguments
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "facegan"
        text = one_line(error.format_message()).rstrip(".")
        if advice := _advice(error, command):  # better than options that are spelled alike
            text = re.sub(r" \(Possible options: [^)]*\)", "", text)
        if extra := _EXTRA.search(text):
            text = text.replace(extra[1], "argument" if len(extra[2].split()) == 1 else "arguments")
        advice = advice or f"see '{command} --help'"
        message, code = f"{command}: {text[:1].lower()}{text[1:]}; {advice}", int(error.exit_code)
    elif isinstance(error, OSError):
        message = f"{error.filename or 'system'}: {os_reason(error)}"
        code = 2 if isinstance(error, WRONG_FILE) else 1
    else:
        hint = "" if debug else "; 'facegan --debug ...' shows where"
        if isinstance(error, ImportError):
            hint = "; 'facegan doctor' says what is wrong here"
        message, code = f"{type(error).__name__}: {one_line(error)}{hint}", 1
    _complain(message, error, debug)
    return code


_EXTRA = re.compile(r"unexpected extra (argument(?:s|\(s\))?) \((.*)\)", re.DOTALL)


def _advice(error: typer.TyperException, command: str) -> str | None:
    """Return what would be right in place of a mistaken argument, where that can be guessed."""
    option = str(getattr(error, "option_name", "")).lstrip("-").replace("-", "_")
    if option and command in ("facegan train", "facegan resume"):
        from ..config import RunConfig, flat

        keys = list(flat(RunConfig().model_dump()))
        option = "lr" if option == "learning_rate" else option.lower()
        found = [key for key in keys if key.rpartition(".")[2].lower().startswith(option)]
        if found:
            return f"settings have --set: {' or '.join(f'--set {key}=...' for key in found[:3])}"
    extra = _EXTRA.search(error.format_message())
    if extra and Path(extra[2].split()[-1]).exists():
        return "where a shell made several files of one pattern, quote the pattern, or give the folder"
    return None


def _flush() -> int:
    """Flush stdout and stderr; return 1 if printed results were lost although somebody may read them."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # or Python fails once more at its end
            if stream is sys.stdout and error.errno not in (errno.EPIPE, errno.EIO):
                _complain(f"output: {error.strerror}", error, False)
                code = 1
    return code


def _complain(message: object, error: BaseException | None, debug: bool) -> None:
    if debug and error is not None:
        import traceback

        traceback.print_exception(error)
    with suppress(OSError):  # the terminal may have gone
        print_lines(f"facegan: {message}" if not str(message).startswith("facegan") else message, stream=sys.stderr)
