"""`facegan plot`."""

from ..api import reports
from .options import verb_command

EXAMPLES = """
    $ facegan plot
    runs/celeba-1/losses.png

    $ facegan plot runs/celeba-1 runs/celeba-2 --metric fid -o fid.svg
    fid.svg
    """
plot = verb_command(reports.plot, EXAMPLES, document=lambda files, _: {"files": [*map(str, files)]})
