"""`facegan report`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Json, Run, any_run, print_json

ENDINGS = (".html", ".htm")


def report(
    run: Run = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .html file.")] = Path("report.html"),
    real: Annotated[
        bool,
        typer.Option("--real", help="Show training images too: real people, where the data are photographs of them."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a run as one HTML page to send to others.

    It shows the grids through training, curves, health, evaluations and settings. The file needs no other file and no
    network. Training images stay out of it unless you ask for them, as who is on them may not want to be passed on.
    Settings and command lines are shown as they were given, paths included.
    """
    from ..images import check_ending
    from ..report import write_report
    from ..reporter import Callbacks
    from .console import console
    from .counting import counting
    from .telling import next_commands

    check_ending(out, ENDINGS)
    found = any_run(run)
    with counting("embedding grids") as progress:
        reporter = Callbacks(progress={"embedding grids": progress})
        written = write_report(found, out, commands=next_commands, real=real, reporter=reporter)
    if written.damaged:
        console().print(f"{out}: goes without {', '.join(written.damaged)}, which cannot be read", markup=False)
    if written.num_left_out:
        shown, num_grids = written.num_grids, written.num_grids + written.num_left_out
        console().print(f"{out}: shows {shown} of {num_grids} grids, evenly chosen, to stay small", markup=False)
    if not as_json:
        print(out)
        return
    print_json(
        {
            "report": str(out),
            "size_bytes": written.size_bytes,
            "num_grids": written.num_grids,
            "num_left_out": written.num_left_out,
            "damaged": written.damaged,
            "real": real,
        }
    )
