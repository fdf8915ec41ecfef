"""`facegan doctor`."""

from typing import Annotated

import typer

from .options import Json, examples, print_json
from .tables import print_table


@examples("""
    $ facegan doctor
        what    found
    ok  python  3.12.3 in ~/.venv
    ok  torch   2.6.0, for the CPU alone
    ...
    all is well: facegan can train and sample here

    $ facegan doctor --time-limit 300 --json
    """)
def doctor(
    time_limit: Annotated[
        float,
        typer.Option(
            min=1, metavar="SECONDS", help="Time for the checks; after one that hangs, as much again for the rest."
        ),
    ] = 120.0,
    as_json: Json = False,
) -> None:
    """Check this machine, and report problems and their fixes.

    Paste the output into a bug report. It works where torch is broken or missing, and writes nothing. The exit code is
    0 when facegan can train and sample here, with warnings or without, and 1 when it cannot.
    """
    from ..doctor import can_train, diagnose, problems, to_json, verdict
    from .console import print_lines, stderr_console

    with stderr_console().status("checking; importing torch takes a few seconds"):
        checks = diagnose(time_limit)
    if as_json:
        print_json(to_json(checks))
    else:
        print_table("", ("", "what", "found"), [(each.status, each.name, each.found) for each in checks])
        print_lines()
        for check in problems(checks)[1:]:  # outside the table, so that a command can be copied in one piece
            print_lines(f"{check.status}: {check.name}: {check.fix}")
        print_lines(verdict(checks))
    if not can_train(checks):
        raise typer.Exit(1)
