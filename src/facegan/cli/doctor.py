"""`facegan doctor`."""

import dataclasses
from typing import Annotated

import typer

from .options import Json, print_json


def doctor(
    time_limit: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="For importing torch and the plugins, which may hang."),
    ] = 120.0,
    as_json: Json = False,
) -> None:
    """Say what facegan finds here, and what is wrong.

    Made to be pasted into a bug report. It works where torch is broken or missing, and leaves nothing behind. The exit
    code is 0 when facegan can train and sample here, with warnings or without, and 1 when it cannot.
    """
    from ..doctor import amiss, can_train, diagnose, verdict
    from .console import console, table

    with console().status("looking; importing torch takes a few seconds"):
        checks = diagnose(time_limit)
    able = can_train(checks)
    if as_json:
        print_json({"able": able, "verdict": verdict(checks), "checks": [dataclasses.asdict(each) for each in checks]})
    else:
        table("", ("", "what", "found"), [(each.status, each.name, each.found) for each in checks])
        print()
        for check in amiss(checks)[1:]:  # outside the table, so that a command can be copied whole
            print(f"{check.status}: {check.name}: {check.mend}")
        print(verdict(checks))
    if not able:
        raise typer.Exit(1)
