"""`facegan edit`."""

from ..api import latent_directions
from .options import verb_command

EXAMPLES = """
    $ facegan edit --direction smile:-3..3 -o smile.png
    smile.png

    $ facegan edit --seeds 0-3 --direction glasses:2 --keep smile -o glasses/
    glasses/: 8 images
    """
edit = verb_command(latent_directions.edit, EXAMPLES)
