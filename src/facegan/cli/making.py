"""What the commands that make pictures share: points from flags, and a recipe's picture on its way to a file."""

import io
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

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
    from .console import counting

    with counting("drawing") as progress:
        (frame,) = recipe.frames(generator, progress)
    write_still(out, frame, about(recipe, generator))


def write_still(out: str, picture: "np.ndarray", text: dict[str, str]) -> None:
    """Write a picture, uint8 (H, W, 3) or (H, W), to a path or stdout; raises as `make`."""
    from ..images import save, write_png

    if out != STDOUT:
        save(Path(out), picture, text)
        return
    png = io.BytesIO()  # a PNG is written with seeks, which a pipe cannot do
    write_png(png, picture, text)
    sys.stdout.buffer.write(png.getvalue())
    sys.stdout.buffer.flush()


def check_show() -> None:
    """Refuse to show a picture where there is neither a screen nor a terminal; raises ConfigError."""
    from .console import console

    if not (_has_screen() or console().is_terminal):
        raise ConfigError("--show: there is neither a screen nor a terminal here; give -o sheet.png")


def show_picture(picture: "np.ndarray", path: Path | None) -> None:
    """Open a picture with the system's own program where there is a screen, else draw it in the terminal.

    Args:
        picture: uint8 (H, W, 3) or (H, W).
        path: Where it was written, if it was.
    """
    import typer
    from PIL import Image
    from rich.console import Console
    from rich_pixels import Pixels

    image = Image.fromarray(picture).convert("RGB")
    if _has_screen():
        if path is None:
            path = Path(tempfile.mkdtemp(prefix="facegan-")) / "faces.png"
            image.save(path)
        typer.launch(str(path))
        return
    talk = Console(stderr=True)
    # A character is two pixels high and one wide.
    image.thumbnail((talk.width, 2 * max(8, talk.height - 2)), Image.Resampling.LANCZOS)
    talk.print(Pixels.from_image(image))


def _has_screen() -> bool:
    """Whether a window can be opened: always on a Mac or Windows but over ssh; elsewhere where a display is named."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


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


def follow(recipe: "Recipe", generator: "FaceGenerator", out: str) -> None:
    """Follow a recipe of either kind; raises as `make` and `make_film`."""
    (make if recipe.rate is None else make_film)(recipe, generator, out)


def about(recipe: "Recipe", generator: "FaceGenerator") -> dict[str, str]:
    """What a picture says of itself, in a PNG's text chunks or another format's own place for it."""
    points = getattr(recipe, "points", None)
    return {
        **origin(generator),
        **({"seeds": points.text} if points is not None else {}),
        "recipe": recipe.model_dump_json(exclude_defaults=True),
        "command": shlex.join(["facegan", *recipe.flags()]),
    }


def origin(generator: "FaceGenerator") -> dict[str, str]:
    """Of which weights a picture is."""
    import torch

    from .. import __version__

    info = generator.info
    return {
        "Software": f"facegan {__version__}",
        "torch": f"{torch.__version__} on {next(generator.network.parameters()).device.type}",
        "Description": "synthetic face",
        "snapshot": info["digest"],
        "step": str(info["step"]),
        "weights": info["weights"],
    }
