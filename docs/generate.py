"""Write the reference pages commands.md and configuration.md from the code; --check fails when they are stale."""

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.main import get_command

from facegan import plugins
from facegan.cli import GROUPS, app
from facegan.config import PLUGIN_SECTIONS, RunConfig, flat, preset_layer, preset_names

FOLDER = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py; change the code and run it again. -->\n"

EXIT_CODES = (
    ("0", "done; also if the run was finished already, which the command reports"),
    ("1", "a failure that is not your mistake: a full disk, a loss that is not finite, a broken plugin"),
    ("2", "a mistake that you can fix: a flag, a setting, a missing or wrong file"),
    ("130", "stopped by Ctrl-C, after saving a training run"),
    ("143", "stopped by SIGTERM, after saving a training run"),
    ("129", "stopped because the terminal was closed (SIGHUP), after saving a training run"),
)

COMMANDS = """\
# Commands

{note}
`facegan COMMAND --help` prints the same. [configuration.md](configuration.md) has the settings beyond these options.

- **MODEL and RUN** are a path, or a name under `runs/`. Without one, a command uses the latest run.
- **stdout** has only results: paths, tables, or one JSON document with `--json`. Messages and progress go to stderr.
- **Global options** come before the command: `facegan --version`, and `facegan --debug COMMAND ...` for the traceback
  of an error.

## Exit codes

{exit_codes}"""

CONFIGURATION = """\
# Configuration

{note}
All settings of a run form one tree. A run writes the complete tree to `config.json` in its folder; that file is itself
a valid `--config`.

## Where a value comes from

**preset < config file < flags < `--set`**: each overrides those to its left.

```sh
facegan train --preset dcgan-linear --config mine.toml --batch-size 32 --set optimizer.lr_G=1e-4
```

- `--preset NAME` starts from one of the [presets](#presets). Without it and without `--config` it is
  `faces`; a file alone changes the values below, those of `dcgan`.
- `--config FILE` reads a .toml or .json file with any part of the tree.
- `--set section.key=value` takes a line of TOML; a bare word is a string. You can repeat it.
- A length overrides every other length to its left: `--steps 100` over a preset's `epochs = 25` is 100 steps.
- A different `architecture.name` or `loss.name` discards the settings of the previous one; a different `data.source`
  discards its `data.options`.
- A setting that does not exist is an error that suggests the nearest name, before anything is written.

{sections}
## Presets

`facegan presets` prints each value with its source. Use one with `facegan train --preset NAME`.

{presets}"""

SECTION_NOTES = {
    "data": "The dataset's own settings are under `data.options`; see [`data.options`](#dataoptions) below.",
}
PLUGIN_TITLES = {"architecture": "architecture", "loss": "loss", "dataset": "data.options"}
PLUGIN_NOTES = {
    "architecture": """\
`architecture.name` selects the pair of networks; the other settings belong to it. Installed packages can add more
([plugins.md](plugins.md)); `facegan plugins` lists them.""",
    "loss": """\
`loss.name` selects the loss; the other settings belong to it. Installed packages can add more.""",
    "dataset": """\
The settings under `data.options` if `data.source` names one of these datasets. Folders and archives have none.""",
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check compare them; return the exit code."""
    pages = {FOLDER / "commands.md": commands_page(), FOLDER / "configuration.md": configuration_page()}
    if arguments == ["--check"]:
        stale = [page.name for page, text in pages.items() if not page.exists() or page.read_text("utf-8") != text]
        for name in stale:
            print(f"docs/{name}: stale; run: python docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    if arguments:
        print(f"usage: python docs/generate.py [--check] (given: {' '.join(arguments)})", file=sys.stderr)
        return 2
    for page, text in pages.items():
        page.write_text(text, "utf-8")
    return 0


def commands_page() -> str:
    """Return the reference of the built-in commands."""
    parts = [COMMANDS.format(note=NOTE, exit_codes=table(("code", "meaning"), EXIT_CODES))]
    for group, path, command, context in commands():
        if f"\n## {group}\n" not in parts:
            parts.append(f"\n## {group}\n")
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        parts.append(f"\n### {path}\n\n{paragraphs(command.help)}\n\n```text\n{usage}\n```\n")
        shown = [parameter for parameter in command.params if not parameter.hidden]
        arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
        options = [parameter for parameter in shown if parameter.param_type_name == "option"]
        if arguments:
            about = [(heading(each, context), each.help or "") for each in arguments]
            parts.append("\n" + table(("argument", "meaning"), about))
        rows = [(heading(each, context), each.help or "", default_of(each, context)) for each in options]
        parts.append("\n" + table(("option", "meaning", "default"), rows))
        parts.append(f"\n```console\n{examples(command)}\n```\n")
    return "".join(parts)


def examples(command: Any) -> str:
    """Return the examples at the end of a command's help."""
    return textwrap.dedent(command.epilog.partition("\n")[2].replace("\b\n", "")).strip()


def commands() -> Iterator[tuple[str, str, Any, Any]]:
    """Yield (group, path, command, context) of every built-in command, and of sub-commands in place of their parent."""
    menu: Any = get_command(app)
    top = menu.make_context("facegan", [], resilient_parsing=True)
    for group, names in GROUPS.items():
        for name in names:
            for each in _below(f"facegan {name}", menu.get_command(top, name), top):
                yield group, *each


def _below(path: str, command: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    context = command.make_context(path.split()[-1], [], parent=parent, resilient_parsing=True)
    if not hasattr(command, "list_commands"):
        yield path, command, context
        return
    for name in command.list_commands(context):
        yield from _below(f"{path} {name}", command.get_command(context, name), context)


def heading(parameter: Any, context: Any) -> str:
    """Return the name of a parameter as in the command's help: `-o, --out <path>`."""
    return code(parameter.get_help_record(context)[0])


def default_of(option: Any, context: Any) -> str:
    """Return a default as you would type it; a dash if the help explains the default."""
    default = option.get_default(context)
    return "-" if default is None or option.is_flag else code(str(default))


def configuration_page() -> str:
    """Return the reference of the settings."""
    schema = RunConfig.model_json_schema()
    top = {key: value for key, value in schema["properties"].items() if key not in _section_names()}
    parts = [f"## Top level\n\n{settings_table(top)}"]
    for name in _section_names():
        if name in PLUGIN_SECTIONS:
            parts.append(plugin_section(name))
            continue
        section: Any = RunConfig.model_fields[name].annotation
        inner = section.model_json_schema()
        note = f"{SECTION_NOTES[name]}\n\n" if name in SECTION_NOTES else ""
        about = paragraphs(inner.get("description", ""))
        parts.append(f"## {name}\n\n{about}\n\n{note}{settings_table(inner['properties'], name)}")
        if name == "data":
            parts.append(plugin_section("dataset"))
    return CONFIGURATION.format(note=NOTE, sections="\n".join(parts), presets=presets_table())


def _section_names() -> list[str]:
    return [name for name, field in RunConfig.model_fields.items() if hasattr(field.annotation, "model_fields")]


def plugin_section(kind: str) -> str:
    """Return the settings of every built-in part of a kind."""
    title = PLUGIN_TITLES[kind]
    parts = [f"## {title}\n\n{PLUGIN_NOTES[kind]}\n"]
    for name in plugins.BUILT_IN[kind]:
        schema = plugins.claims(kind)[name][0].load().model_json_schema()
        about = paragraphs(str(schema.get("description", "")).partition("\n\nAttributes:")[0])
        parts.append(f"### {kind} `{name}`\n\n{about}\n\n{settings_table(schema['properties'], title)}")
    return "\n".join(parts)


def settings_table(properties: Mapping[str, Any], section: str = "") -> str:
    """Return a table with name, allowed values, default and meaning of each setting."""
    prefix = f"{section}." if section else ""
    rows = []
    for name, each in properties.items():
        default = "none" if each.get("default") is None else code(json.dumps(each["default"]))
        rows.append((code(prefix + name), allowed(each), default, each.get("description", "")))
    return table(("setting", "value", "default", "meaning"), rows) if rows else "It has no settings.\n"


def allowed(setting: Mapping[str, Any]) -> str:
    """Describe the allowed values of a setting from its JSON schema."""
    if "anyOf" in setting:
        kinds = [allowed(each) for each in setting["anyOf"] if each.get("type") != "null"]
        return " or ".join([*kinds, "none"] if len(kinds) < len(setting["anyOf"]) else kinds)
    if "enum" in setting:
        return ", ".join(code(each if isinstance(each, str) else json.dumps(each)) for each in setting["enum"])
    words = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text"}
    kind = words.get(setting.get("type", ""), "table")
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {bound(setting[key])}" for key, sign in bounds.items() if key in setting]
    return f"{kind} {', '.join(limits)}".strip()


def bound(value: float) -> str:
    """Format a limit of a range; powers of two above 2^31 as such."""
    if isinstance(value, int) and value > 2**31 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def presets_table() -> str:
    """Return a table with one row per setting that any preset sets, and one column per preset."""
    values = {name: flat(preset_layer(name)) for name in preset_names()}
    keys = dict.fromkeys(key for layer in values.values() for key in layer)
    rows = [
        (code(key), *(code(json.dumps(layer[key])) if key in layer else "-" for layer in values.values()))
        for key in keys
    ]
    return table(("setting", *(code(name) for name in values)), rows)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Format a Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def paragraphs(text: str | None) -> str:
    """Return a docstring with each paragraph on one line."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").strip().split("\n\n"))


def code(text: str) -> str:
    """Format text as inline code."""
    return f"`{text}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
