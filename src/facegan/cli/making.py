"""What the commands that make images share: points from flags, and a recipe's image on its way to a file."""

import io
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .options import load_torch

if TYPE_CHECKING:
    import numpy as np

    from ..generator import FaceGenerator
    from ..recipes import Recipe
    from ..seeds import Points

STDOUT = "-"  # as -o
MOST_BYTES = 2**30  # of the frames of a film whose format needs all of them at once


def points_of(text: str, flag: str = "--seeds") -> "Points":
    """The points that a flag names.

    Raises:
        ConfigError: It names none; the message begins with the flag.
        SnapshotError: A file of latents is missing, damaged, or none.
    """
    load_torch()
    from ..seeds import parse

    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{flag} {text}: {error}") from None


def check_still(out: str, *, as_json: bool = False) -> None:
    """Refuse a place where no image can be; raises ConfigError."""
    from ..images import check_ending

    check_place(out, as_json=as_json)
    if out != STDOUT:
        check_ending(Path(out))


def check_place(out: str, *, as_json: bool = False) -> None:
    """Refuse a place for an image or film that can be none, before anything is drawn; raises ConfigError."""
    if out == STDOUT:
        if as_json:
            raise ConfigError("-o - and --json both write to stdout; give one")
        return
    if Path(out).is_dir() and not out.endswith("/"):
        raise ConfigError(f"-o {out}: is a folder; name a file in it, or end it in / for single images")
    _check_above(Path(out), f"-o {out}")


def check_tensors(path: Path, flag: str, kind: str) -> None:
    """Refuse a place for a .safetensors file of ours that is none, or where something else stands.

    Args:
        path: The place.
        flag: What named it.
        kind: What is to be written there: "latents" or "directions"; older ones of that kind may be replaced.

    Raises:
        ConfigError: The ending is another one, or a file of another kind stands there.
    """
    from ..errors import SnapshotError
    from ..storage.safetensors_file import read_header

    _check_above(path, f"{flag} {path}")
    if path.suffix != ".safetensors":
        raise ConfigError(f"{flag} {path}: {kind} are kept as .safetensors; end it so")
    if path.exists():
        try:
            read_header(path, kind, whole=False)
        except SnapshotError as error:
            raise ConfigError(f"{flag} {path}: is not replaced by {kind} ({error}); choose another name") from None


def _check_above(path: Path, where: str) -> None:
    blocked = next((above for above in path.parents if above.exists() and not above.is_dir()), None)
    if blocked:
        raise ConfigError(f"{where}: {blocked} is a file, not a folder")


def check_size(recipe: "Recipe", generator: "FaceGenerator", out: str) -> None:
    """Refuse an image or film that nobody could hold or open, before it is drawn; raises ConfigError."""
    from ..images import check_fits
    from ..images.decode import MAX_PIXELS

    height, width = recipe.size(generator.origin.config.resolution)
    if height * width > MAX_PIXELS:
        raise ConfigError(
            f"-o {out}: would have {width:,} x {height:,} pixels, more than other programs open ({MAX_PIXELS:,} in "
            "all); ask for fewer or smaller faces"
        )
    if recipe.rate is None:
        check_fits(Path(out), (height, width), about(recipe, generator))
        return
    num_frames = getattr(recipe, "num_frames", 1)
    if Path(out).suffix.lower() in (".gif", ".webp") and num_frames * height * width * 3 > MOST_BYTES:
        raise ConfigError(
            f"-o {out}: {num_frames:,} frames of {width} x {height} pixels are more than fit into memory; "
            "ask for fewer --frames, a smaller --scale, or an .mp4, which is written as they come"
        )


def warn_of_strangers(points: "Points", generator: "FaceGenerator") -> None:
    """Warn of latents that were found for another snapshot."""
    from .counting import reporting

    with reporting() as reporter:
        points.warn_of_foreign(generator, reporter)


def make(recipe: "Recipe", generator: "FaceGenerator", out: str) -> None:
    """Follow a recipe of one frame, with a bar when it takes long, and write the image, which says how it was made.

    Args:
        recipe: For a still image.
        generator: Whose faces.
        out: A path with the ending of an image; `-` writes a PNG to stdout.

    Raises:
        ConfigError: The ending names no format.
        SnapshotError: As `Recipe.frames`.
        OSError: It cannot be written.
    """
    from .counting import reporting

    check_size(recipe, generator, out)
    with reporting() as reporter:
        (frame,) = recipe.frames(generator, reporter=reporter)
    write_still(out, frame, about(recipe, generator))


def write_still(out: str, picture: "np.ndarray", text: dict[str, str]) -> None:
    """Write an image, uint8 (H, W, 3) or (H, W), to a path or stdout; raises as `make`."""
    from ..images import save, write_png

    if out != STDOUT:
        save(Path(out), picture, text)
        return
    png = io.BytesIO()  # a PNG is written with seeks, which a pipe cannot do
    write_png(png, picture, text)
    sys.stdout.buffer.write(png.getvalue())
    sys.stdout.buffer.flush()


def check_show() -> None:
    """Refuse to show an image where there is neither a screen nor a terminal; raises ConfigError."""
    from .console import console

    if not (_has_screen() or console().is_terminal):
        raise ConfigError("--show: there is neither a screen nor a terminal here; give -o sheet.png")


def show_image(picture: "np.ndarray", path: Path | None) -> None:
    """Open an image with the system's own program where there is a screen, else draw it in the terminal.

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
    from .counting import reporting

    check_size(recipe, generator, out)

    with reporting() as reporter:
        save_animation(
            out, recipe.frames(generator, reporter=reporter), fps=recipe.rate or 0, about=about(recipe, generator)
        )


def follow(recipe: "Recipe", generator: "FaceGenerator", out: str) -> None:
    """Follow a recipe of either kind; raises as `make` and `make_film`."""
    (make if recipe.rate is None else make_film)(recipe, generator, out)


def about(recipe: "Recipe", generator: "FaceGenerator") -> dict[str, str]:
    """What an image says of itself, in a PNG's text chunks or another format's own place for it."""
    points = getattr(recipe, "points", None)
    return {
        **origin(generator),
        **({"seeds": points.text} if points is not None else {}),
        "recipe": recipe.model_dump_json(exclude_defaults=True),
        "command": command(recipe, raw=generator.origin.raw),
    }


def command(recipe: "Recipe", *, raw: bool = False) -> str:
    """The command line that says the same as a recipe, without MODEL and -o."""
    return shlex.join(["facegan", *recipe.flags(), *["--raw"] * raw])


def origin(generator: "FaceGenerator") -> dict[str, str]:
    """Of which weights an image is."""
    import torch

    from .. import __version__

    origin = generator.origin
    return {
        "Software": f"facegan {__version__}",
        "torch": f"{torch.__version__} on {next(generator.network.parameters()).device.type}",
        "Description": "synthetic face",
        "snapshot": origin.digest,
        "step": str(origin.step),
        "weights": origin.weights,
    }
