"""What the commands that make pictures share: points from flags, and a recipe's picture on its way to a file."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..generators import FaceGenerator
    from ..points import Points
    from ..recipes import Recipe

STDOUT = "-"  # as -o
MOST_PIXELS = 89_478_485  # of a sheet: above this, Pillow takes a picture for an attack


def points_of(text: str, flag: str = "--seeds") -> "Points":
    """The points that a flag names.

    Raises:
        ConfigError: It names none; the message begins with the flag.
        SnapshotError: A file of latents is missing, damaged, or none.
    """
    from ..points import parse

    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{flag} {text}: {error}") from None


def check_still(out: str) -> None:
    """Refuse a place for a picture whose ending names no format; raises ConfigError."""
    from ..images import check_ending

    if out != STDOUT:
        check_ending(Path(out))


def warn_of_strangers(points: "Points", generator: "FaceGenerator") -> None:
    """Say so where a latent was found for another snapshot: it is some face here, but hardly the one meant."""
    from .console import console

    for name in points.strangers(generator.info["digest"]):
        console().print(f"{name}: was found for another snapshot; its face here is another one", markup=False)


def make(recipe: "Recipe", generator: "FaceGenerator", out: str) -> None:
    """Follow a recipe of one frame, with a bar when it takes long, and write the picture, which says how it was made.

    Args:
        recipe: For a still picture.
        generator: Whose faces.
        out: A path with the ending of a picture; `-` writes a PNG to stdout.

    Raises:
        ConfigError: The ending names no format.
        SnapshotError: As `Recipe.frames`.
        OSError: It cannot be written.
    """
    from ..images import save, write_png
    from .console import counting

    with counting("drawing") as progress:
        (frame,) = recipe.frames(generator, progress)
    if out == STDOUT:
        png = io.BytesIO()
        write_png(png, frame, about(recipe, generator))
        sys.stdout.buffer.write(png.getvalue())
    else:
        save(Path(out), frame, about(recipe, generator))


def make_film(recipe: "Recipe", generator: "FaceGenerator", out: str) -> None:
    """Follow a recipe of many frames, with a bar when it takes long, and write the film, which says how it was made.

    Args:
        recipe: Whose `rate` is not None.
        generator: Whose faces.
        out: A path with the ending of an animation, or with a / at its end, for a folder of numbered PNGs.

    Raises:
        ConfigError: The ending names no format, or the format cannot be as fast or as large as asked.
        SnapshotError: As `Recipe.frames`, or the folder holds something already.
        OSError: It cannot be written.
    """
    from ..images import save_animation
    from .console import counting

    with counting("drawing") as progress:
        save_animation(out, recipe.frames(generator, progress), fps=recipe.rate or 0, about=about(recipe, generator))


def about(recipe: "Recipe", generator: "FaceGenerator") -> dict[str, str]:
    """What a picture says of itself, in a PNG's text chunks or another format's own place for it."""
    return {
        **origin(generator),
        "recipe": recipe.model_dump_json(exclude_defaults=True),
        "command": " ".join(["facegan", *recipe.flags()]),
    }


def origin(generator: "FaceGenerator") -> dict[str, str]:
    """Of which weights a picture is."""
    from .. import __version__

    info = generator.info
    return {
        "Software": f"facegan {__version__}",
        "Description": "synthetic face",
        "snapshot": info["digest"],
        "step": str(info["step"]),
        "weights": info["weights"],
    }
