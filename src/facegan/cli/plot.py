"""`facegan plot`."""

from typing import Any

from ..api import reports
from .console import ConsoleReporter
from .options import Json, command, print_json

EXAMPLES = """
    $ facegan plot
    runs/celeba-1/losses.png

    $ facegan plot runs/celeba-1 runs/celeba-2 --metric fid -o fid.svg
    fid.svg
    """


@command(reports.plot, EXAMPLES)
def plot(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the files."""
    with ConsoleReporter() as reporter:
        written = reports.plot(**options, reporter=reporter)
    if as_json:
        print_json({"files": [str(path) for path in written]})
    else:
        print(*written, sep="\n")
