"""`facegan arithmetic`."""

from typing import Any

from ..api import sampling
from .console import ConsoleReporter
from .options import Json, command, print_drawing, refuse_two_outputs

EXAMPLES = """
    $ facegan arithmetic --plus 1,5,9 --minus 2,6,10 --plus 3,7,11 -o sum.png
    sum.png

    $ facegan arithmetic --plus 1,5 --minus 8 --rescale --save sum.safetensors
    sum.safetensors
    """


@command(sampling.arithmetic, EXAMPLES)
def arithmetic(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the files."""
    refuse_two_outputs(options["out"], as_json)
    with ConsoleReporter() as reporter:
        drawn = sampling.arithmetic(**options, reporter=reporter)
    print_drawing(drawn, as_json=as_json)
