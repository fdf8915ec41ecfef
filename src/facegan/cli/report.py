"""`facegan report`."""

from typing import TYPE_CHECKING, Any

from ..api import reports
from .console import print_lines
from .options import Options, verb_command

if TYPE_CHECKING:
    from ..report import Report

EXAMPLES = """
    $ facegan report
    report.html

    $ facegan report runs/celeba-1 --real -o celeba.html
    celeba.html
    """


def _document(written: "Report", options: Options) -> dict[str, Any]:
    numbers = {name: getattr(written, name) for name in ("size_bytes", "num_grids", "num_left_out", "damaged")}
    return {"report": str(written.path), **numbers, "real": options["real"]}


report = verb_command(reports.report, EXAMPLES, lambda written, _: print_lines(written.path), _document)
