"""From points and recipes to files: output paths are validated first, and images carry how they were made."""

import io
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .options import PathLike, load_torch

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..checkpoint import Checkpoint
    from ..generator import FaceGenerator, Origin
    from ..recipes import Recipe
    from ..reporter import Reporter
    from ..seeds import Points

STDOUT = "-"  # as `out`: a PNG on stdout
MAX_FRAME_BYTES = 2**30  # of an animation whose format needs all frames at once


@dataclass(frozen=True, eq=False)
class Drawing:
    """Images that a verb has drawn."""

    origin: "Origin"  # the snapshot of the generator
    files: list[str]  # that were written; `-` is stdout
    details: dict[str, Any]  # numbers that belong to the verb
    lines: list[str]  # the files for people: those of a folder as their number
    image: "np.ndarray | None" = None  # uint8 (H, W, 3) or (H, W), where the verb was asked for it

    def document(self) -> dict[str, Any]:
        """Return all but the image, for JSON."""
        known = {"digest": self.origin.digest, "step": self.origin.step, "weights": self.origin.weights}
        return {"snapshot": str(self.origin.path), **known, **self.details, "files": self.files}


def open_model(model: PathLike | None, device: str | None, reporter: "Reporter") -> "tuple[Checkpoint, torch.device]":
    """Open the snapshot that MODEL names, as `find_checkpoint` does, and resolve the device."""
    from ..checkpoint import find_checkpoint
    from ..devices import resolve_device

    return find_checkpoint(model, reporter=reporter), resolve_device(device or "auto")


def parse_points(text: str, flag: str = "--seeds") -> "Points":
    """Return the points that a flag names; a ConfigError begins with the flag."""
    load_torch()
    from ..seeds import parse

    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{flag} {text}: {error}") from None


def check_output_path(out: str, *, is_image: bool = False) -> None:
    """Validate the output path of an image, or of an animation, whose ending is checked elsewhere."""
    from ..images import check_ending

    if out == STDOUT:
        return
    if Path(out).is_dir() and not out.endswith("/"):
        raise ConfigError(f"-o {out}: is a folder; name a file in it, or end it in / for single images")
    _check_parents(Path(out), "-o")
    if is_image:
        check_ending(Path(out))


def check_image_and_latents(verb: str, out: str | None, save: PathLike | None) -> None:
    """Validate the paths of an image and of latents, at least one of which is given; raises ConfigError."""
    if out is None and save is None:
        raise ConfigError(f"{verb}: nowhere to write; give -o {verb}.png, or --save {verb}.safetensors")
    if out is not None:
        check_output_path(out, is_image=True)
    if save is not None:
        check_tensor_path(Path(save), "--save", "latents")


def check_tensor_path(path: Path, flag: str, kind: str) -> None:
    """Validate the output path of a .safetensors file; only an older one of its kind may be replaced."""
    from ..storage.safetensors_file import header_problem

    _check_parents(path, flag)
    if path.suffix != ".safetensors":
        raise ConfigError(f"{flag} {path}: {kind} are saved as .safetensors; end it so")
    if path.exists() and (problem := header_problem(path, kind)):
        raise ConfigError(f"{flag} {path}: is not replaced by {kind} ({problem}); choose another name")


def _check_parents(path: Path, flag: str) -> None:
    blocked = next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    if blocked:
        raise ConfigError(f"{flag} {path}: {blocked} is a file, not a folder")


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
    """Draw a recipe, and write the image or animation, in the format of the ending of `out`, with its metadata."""
    from ..images import save_animation

    check_size(recipe, generator, out)
    frames, about = recipe.frames(generator, reporter=reporter), metadata(recipe, generator)
    if recipe.rate is not None:
        save_animation(out, frames, fps=recipe.rate, about=about)
        return
    (image,) = frames
    write_image(out, image, about)


def write_image(out: str, image: "np.ndarray", text: dict[str, str]) -> None:
    """Write an image, uint8 (H, W, 3) or (H, W), to a path or stdout."""
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
