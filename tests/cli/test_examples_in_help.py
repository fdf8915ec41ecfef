"""Every command's help ends with examples; each of them parses, and the groups of the help have every command."""

import re
import shlex

import pytest
from typer.main import get_command

from facegan import cli, plugins

MENU = get_command(cli.app)
TOP = MENU.make_context("facegan", [], resilient_parsing=True)


def below(path, command, parent):
    """Yield (path, command, context of its parent) of a command, or of its sub-commands."""
    if not hasattr(command, "list_commands"):
        yield path, command, parent
        return
    context = command.make_context(path, [], parent=parent, resilient_parsing=True)
    for name in command.list_commands(context):
        yield from below(f"{path} {name}", command.get_command(context, name), context)


COMMANDS = {
    path: (command, parent)
    for name in plugins.BUILT_IN["command"]
    for path, command, parent in below(name, MENU.get_command(TOP, name), TOP)
}


def examples_of(command):
    return re.findall(r"^ *\$ (.+)$", command.epilog or "", re.MULTILINE)


@pytest.mark.parametrize("path", COMMANDS)
def test_help_ends_with_examples_of_the_command_itself(path, facegan):
    lines = examples_of(COMMANDS[path][0])
    assert 1 <= len(lines) <= 3
    assert all(line == f"facegan {path}" or line.startswith(f"facegan {path} ") for line in lines)
    shown = facegan(*path.split(), "--help").out
    assert all(f"    $ {line}\n" in shown for line in lines), "an example is wrapped"


@pytest.mark.parametrize("path", COMMANDS)
def test_examples_parse(path):
    command, parent = COMMANDS[path]
    for line in examples_of(command):
        arguments = shlex.split(line.removeprefix(f"facegan {path}"))
        command.make_context(path, arguments, parent=parent)  # raises for an option that does not exist


def test_help_groups_every_built_in_command_once():
    grouped = [name for group in cli.GROUPS.values() for name in group]
    assert sorted(grouped) == sorted(plugins.BUILT_IN["command"])
