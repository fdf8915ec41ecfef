"""`facegan edit`."""

from typing import Any

from ..api import latent_directions
from .console import ConsoleReporter
from .options import Json, command, print_drawing, refuse_two_outputs

EXAMPLES = """
    $ facegan edit --direction smile:-3..3 -o smile.png
    smile.png

    $ facegan edit --seeds 0-3 --direction glasses:2 --keep smile -o glasses/
    glasses/: 8 images
    """


@command(latent_directions.edit, EXAMPLES)
def edit(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the file, or the number of files in a folder."""
    refuse_two_outputs(options["out"], as_json)
    with ConsoleReporter() as reporter:
        drawn = latent_directions.edit(**options, reporter=reporter)
    if not as_json and options["out"].endswith("/"):
        print(f"{options['out']}: {len(drawn.files)} images")
    else:
        print_drawing(drawn, as_json=as_json)
