"""`facegan arithmetic`."""

from ..api import sampling
from .options import verb_command

EXAMPLES = """
    $ facegan arithmetic --plus 1,5,9 --minus 2,6,10 --plus 3,7,11 -o sum.png
    sum.png

    $ facegan arithmetic --plus 1,5 --minus 8 --rescale --save sum.safetensors
    sum.safetensors
    """
arithmetic = verb_command(sampling.arithmetic, EXAMPLES)
