"""`facegan presets`."""

from typing import Annotated

import typer

from .console import print_lines
from .options import Json, examples, print_json


@examples("""
    $ facegan presets dcgan-32
    ### facegan train --preset dcgan-32
    resolution = 32  # ...

    $ facegan presets --json
    {"dcgan": {...}, "dcgan-32": {...}, ...}
    """)
def presets(
    name: Annotated[str | None, typer.Argument(help="One of them; by default all.")] = None, as_json: Json = False
) -> None:
    """Print the values of every preset, with their sources."""
    from ..config import preset_layer, preset_names, preset_text

    names = preset_names() if name is None else [name]
    texts = {each: preset_text(each) for each in names}
    if as_json:
        print_json({each: preset_layer(each) for each in names})
        return
    for number, (each, text) in enumerate(texts.items()):
        print_lines(*[""] * (number > 0), f"### facegan train --preset {each}", *text.rstrip().splitlines())
