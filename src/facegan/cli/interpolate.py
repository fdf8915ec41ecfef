"""`facegan interpolate`."""

from typing import Any

from ..api import animation
from .console import ConsoleReporter
from .options import Json, command, print_drawing, refuse_two_outputs

MAX_SHOWN_POINTS = 100
EXAMPLES = """
    $ facegan interpolate --seeds 3,14,15 --loop -o walk.gif
    walk.gif

    $ facegan interpolate --corners 3,14,15,92 -o sheet.png
    sheet.png
    """


@command(animation.interpolate, EXAMPLES)
def interpolate(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the file, and which points were drawn."""
    refuse_two_outputs(options["out"], as_json)
    with ConsoleReporter() as reporter:
        drawn = animation.interpolate(**options, reporter=reporter)
        is_random = options["seeds"] is None and options["corners"] is None
        if is_random and not as_json and len(drawn.details["points"]) <= MAX_SHOWN_POINTS:
            reporter.info(f"--seeds {drawn.details['seeds']}")
    print_drawing(drawn, as_json=as_json)
