"""`facegan timelapse`."""

from typing import Any

from ..api import animation
from .options import command

EXAMPLES = """
    $ facegan timelapse
    timelapse.gif

    $ facegan timelapse runs/celeba-1 --seconds 12 -o celeba.mp4
    celeba.mp4
    """


@command(animation.timelapse, EXAMPLES)
def timelapse(options: dict[str, Any]) -> None:
    """Print the file."""
    out = str(options["out"])
    animation.timelapse(**options)
    print(out)
