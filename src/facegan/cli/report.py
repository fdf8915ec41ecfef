"""`facegan report`."""

from typing import Any

from ..api import reports
from .console import ConsoleReporter
from .options import Json, command, print_json

EXAMPLES = """
    $ facegan report
    report.html

    $ facegan report runs/celeba-1 --real -o celeba.html
    celeba.html
    """


@command(reports.report, EXAMPLES)
def report(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the file, and what it goes without."""
    out = str(options["out"])
    with ConsoleReporter() as reporter:
        written = reports.report(**options, reporter=reporter)
        if written.damaged:
            reporter.warning(f"{out}: does not show {', '.join(written.damaged)}, which cannot be read")
        if written.num_left_out:
            num_grids = written.num_grids + written.num_left_out
            reporter.info(f"{out}: shows {written.num_grids} of {num_grids} grids, evenly chosen, to stay small")
    if not as_json:
        print(out)
        return
    print_json(
        {
            "report": out,
            "size_bytes": written.size_bytes,
            "num_grids": written.num_grids,
            "num_left_out": written.num_left_out,
            "damaged": written.damaged,
            "real": options["real"],
        }
    )
