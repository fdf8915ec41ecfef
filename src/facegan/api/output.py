"""From points and recipes to files: output paths are validated first, and images carry how they were made."""

import io
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .options import load_torch

if TYPE_CHECKING:
    import numpy as np

    from ..generator import FaceGenerator, Origin
    from ..recipes import Recipe
    from ..reporter import Reporter
    from ..seeds import Points
    from .options import PathLike

STDOUT = "-"  # as `out`: a PNG on stdout
MAX_FRAME_BYTES = 2**30  # of an animation whose format needs all frames at once


@dataclass(frozen=True, eq=False)
class Drawing:
    """Images that a verb has drawn.

    Attributes:
        origin: The snapshot of the generator.
        files: The files that were written, `-` for stdout.
        image: uint8 (H, W, 3) or (H, W), where the verb was asked for it.
        details: Numbers that belong to the verb.
    """

    origin: "Origin"
    files: list[str]
    image: "np.ndarray | None" = None
    details: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return all but the image, for JSON."""
        known = {"digest": self.origin.digest, "step": self.origin.step, "weights": self.origin.weights}
        return {"snapshot": str(self.origin.path), **known, **self.details, "files": self.files}


def load_model(
    model: "PathLike | None", *, raw: bool = False, device: str | None, reporter: "Reporter"
) -> "FaceGenerator":
    """Load the generator that MODEL names; raises as `find_checkpoint` and `Checkpoint.generator`."""
    from ..checkpoint import find_checkpoint
    from ..devices import resolve_device

    checkpoint = find_checkpoint(model, reporter=reporter)
    return checkpoint.generator(raw=raw, device=resolve_device(device or "auto"))


def parse_points(text: str, flag: str = "--seeds") -> "Points":
    """Return the points that a flag names.

    Raises:
        ConfigError: It names none; the message begins with the flag.
        SnapshotError: A file of latents is missing, damaged, or of another kind.
    """
    load_torch()
    from ..seeds import parse

    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{flag} {text}: {error}") from None


def check_image_path(out: str) -> None:
    """Validate the output path of an image; raises ConfigError."""
    from ..images import check_ending

    check_output_path(out)
    if out != STDOUT:
        check_ending(Path(out))


def check_output_path(out: str) -> None:
    """Validate the output path of an image or animation; raises ConfigError."""
    if out == STDOUT:
        return
    if Path(out).is_dir() and not out.endswith("/"):
        raise ConfigError(f"-o {out}: is a folder; name a file in it, or end it in / for single images")
    _check_parents(Path(out), f"-o {out}")


def check_tensor_path(path: Path, flag: str, kind: str) -> None:
    """Validate the output path of a .safetensors file.

    Args:
        path: The file.
        flag: The option that named it.
        kind: "latents" or "directions"; an older file of that kind may be replaced.

    Raises:
        ConfigError: The ending is wrong, or a file of another kind exists there.
    """
    from ..storage.safetensors_file import header_problem

    _check_parents(path, f"{flag} {path}")
    if path.suffix != ".safetensors":
        raise ConfigError(f"{flag} {path}: {kind} are saved as .safetensors; end it so")
    if path.exists() and (problem := header_problem(path, kind)):
        raise ConfigError(f"{flag} {path}: is not replaced by {kind} ({problem}); choose another name")


def _check_parents(path: Path, where: str) -> None:
    blocked = next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    if blocked:
        raise ConfigError(f"{where}: {blocked} is a file, not a folder")


def check_size(recipe: "Recipe", generator: "FaceGenerator", out: str) -> None:
    """Refuse an image or animation that is too large to be kept in memory or opened; raises ConfigError."""
    from ..images.decode import MAX_PIXELS
    from ..images.files import check_fits

    height, width = recipe.size(generator.origin.config.resolution)
    if height * width > MAX_PIXELS:
        raise ConfigError(
            f"-o {out}: would have {width:,} x {height:,} pixels, more than other programs open ({MAX_PIXELS:,} in "
            "all); ask for fewer or smaller faces"
        )
    if recipe.rate is None:
        check_fits(Path(out), (height, width), metadata(recipe, generator))
        return
    num_frames = getattr(recipe, "num_frames", 1)
    if Path(out).suffix.lower() in (".gif", ".webp") and num_frames * height * width * 3 > MAX_FRAME_BYTES:
        raise ConfigError(
            f"-o {out}: {num_frames:,} frames of {width} x {height} pixels are more than fit into memory; "
            "ask for fewer --frames, a smaller --scale, or an .mp4, which is written frame by frame"
        )


def draw(recipe: "Recipe", generator: "FaceGenerator", out: str, reporter: "Reporter") -> None:
    """Draw a recipe, and write the image or animation with its metadata.

    Args:
        recipe: For an image, or for an animation (its `rate` is not None).
        generator: Whose faces.
        out: A path whose ending names the format; for an animation, one with / at its end is a folder of PNGs; for an
            image, `-` is a PNG on stdout.
        reporter: Receives the progress of "drawing".

    Raises:
        ConfigError: The ending names no format, or the format cannot be as fast or as large as asked.
        SnapshotError: As `Recipe.frames`, or the folder is not empty.
        OSError: It cannot be written.
    """
    from ..images import save_animation

    check_size(recipe, generator, out)
    frames, about = recipe.frames(generator, reporter=reporter), metadata(recipe, generator)
    if recipe.rate is not None:
        save_animation(out, frames, fps=recipe.rate, about=about)
        return
    (image,) = frames
    write_image(out, image, about)


def write_image(out: str, image: "np.ndarray", text: dict[str, str]) -> None:
    """Write an image, uint8 (H, W, 3) or (H, W), to a path or stdout; raises as `draw`."""
    from ..images.files import save, write_png

    if out != STDOUT:
        save(Path(out), image, text)
        return
    png = io.BytesIO()  # a PNG is written with seeks, which a pipe cannot do
    write_png(png, image, text)
    sys.stdout.buffer.write(png.getvalue())
    sys.stdout.buffer.flush()


def metadata(recipe: "Recipe", generator: "FaceGenerator") -> dict[str, str]:
    """Return the metadata of an image, which is enough to draw it again with the snapshot."""
    points = getattr(recipe, "points", None)
    return {
        **provenance(generator),
        **({"seeds": points.text} if points is not None else {}),
        "recipe": recipe.model_dump_json(exclude_defaults=True),
        "command": command_line(recipe, raw=generator.origin.raw),
    }


def command_line(recipe: "Recipe", *, raw: bool = False) -> str:
    """Return the command line that draws a recipe, without MODEL and -o."""
    return shlex.join(["facegan", *recipe.flags(), *["--raw"] * raw])


def provenance(generator: "FaceGenerator") -> dict[str, str]:
    """Return the metadata of all images: versions, snapshot digest, step and weights."""
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
