"""Images of chosen points: sample and arithmetic."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ..errors import ConfigError
from ..reporter import SILENT, Reporter
from .options import Device, Model, PathLike, Raw, load_torch
from .output import (
    Drawing,
    check_image_path,
    check_size,
    check_tensor_path,
    draw,
    load_model,
    metadata,
    parse_points,
    write_image,
)

if TYPE_CHECKING:
    import numpy as np

    from ..generator import FaceGenerator
    from ..recipes import Arithmetic, Sheet
    from ..seeds import Points

MANIFEST = "manifest.jsonl"
MAX_LENGTH_RATIO = 1.5  # of a sum to a latent of the prior: from here on, faces visibly suffer


def sample(
    model: Model = None,
    num: Annotated[int | None, Option("-n", "--num", help="Number of faces: the seeds 0 to N-1. Default 64.")] = None,
    out: Annotated[
        str | None,
        Option("-o", "--out", help="A sheet, .png, .jpg or .webp; FOLDER/ for single images; - for stdout."),
    ] = None,
    *,
    seeds: Annotated[
        str | None, Option(help="Seeds, for instance 0-63,99, or files of latents; each seed is one face.")
    ] = None,
    separate: Annotated[
        PathLike | None, Option(help="A folder for single images, seed-00000007.png, and manifest.jsonl.")
    ] = None,
    truncation: Annotated[
        float, Option(metavar="PSI", help="Draw from PSI * z: below 1, more ordinary faces that vary less.")
    ] = 1.0,
    rows: Annotated[int | None, Option(help="Rows of the sheet, at most.")] = None,
    cols: Annotated[int | None, Option(help="Columns of the sheet; by default near-square.")] = None,
    labels: Annotated[bool, Option("--labels", help="Write the seed below each face.")] = False,
    raw: Raw = False,
    device: Device = None,
    return_sheet: bool = False,
    reporter: Reporter = SILENT,
) -> Drawing:
    """Draw faces from a trained generator.

    Returns:
        The files, with the sheet as `image` if `return_sheet`.
    """
    if out is not None and out.endswith("/"):
        if separate is not None:
            raise ConfigError(f"-o {out} and --separate {separate} both name a folder; give one")
        separate, out = out, None
    folder = None if separate is None else Path(separate)
    has_sheet = out is not None or return_sheet
    if not has_sheet and folder is None:
        raise ConfigError("sample: nowhere to write; give -o grid.png, --separate FOLDER, or --show")
    if out is not None:
        check_image_path(out)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"--separate {folder}: is a file; give a folder")
    if not has_sheet and (rows is not None or cols is not None or labels):
        raise ConfigError("--rows, --cols and --labels arrange a sheet; give -o sheet.png")
    points, columns = _choose_points(seeds, num, rows, cols)

    from ..recipes import Sheet

    recipe = Sheet(points=points, truncation=truncation, columns=columns, labels=labels)
    generator = load_model(model, raw=raw, device=device, reporter=reporter)
    points.warn_of_foreign(generator, reporter)
    if has_sheet:
        check_size(recipe, generator, out or "sheet.png")
    if folder is not None:
        _check_file_names(points)
    sheet, files = _draw_faces(recipe, generator, folder, sheet=has_sheet, reporter=reporter)
    if sheet is not None and out is not None:
        write_image(out, sheet, metadata(recipe, generator))
    details = {"truncation": truncation, **({"manifest": str(folder / MANIFEST)} if folder is not None else {})}
    written = [*map(str, dict.fromkeys(files)), *([out] if out else [])]
    return Drawing(generator.origin, written, sheet if return_sheet else None, details)


def _choose_points(
    seeds: str | None, num: int | None, rows: int | None, cols: int | None
) -> tuple["Points", int | None]:
    """Return the points, and the columns of their sheet (None: near-square); raises ConfigError."""
    load_torch()
    from ..seeds import MAX_POINTS, Points

    for flag, value in (("--rows", rows), ("--cols", cols)):
        if value is not None and not 1 <= value <= MAX_POINTS:
            raise ConfigError(f"{flag} {value}: give 1 to {MAX_POINTS:,}")
    if seeds is not None and num is not None:
        raise ConfigError("-n and --seeds exclude each other; give one")
    if seeds is not None:
        points = parse_points(seeds)
    else:
        num = num if num is not None else rows * cols if rows and cols else 64
        if not 1 <= num <= MAX_POINTS:
            raise ConfigError(f"-n {num}: give 1 to {MAX_POINTS:,}")
        points = Points.of(range(num))
    if rows and cols and len(points) > rows * cols:
        raise ConfigError(f"--rows {rows} --cols {cols}: a sheet of {rows * cols}, but there are {len(points)} faces")
    columns = cols or (rows and -(-len(points) // rows))
    return points, columns and min(columns, len(points))


def _check_file_names(points: "Points") -> None:
    """Refuse latents whose image would have the name of another one; raises ConfigError."""
    names: dict[str, str] = {}
    for latent in points.latents:
        name = _file_name(latent)
        if names.setdefault(name, latent) != latent or re.fullmatch(r"seed-\d{8,}\.png", name):
            raise ConfigError(f"--separate: {latent} would be {name}, as another image is; rename its file")


def _draw_faces(
    recipe: "Sheet", generator: "FaceGenerator", folder: Path | None, *, sheet: bool, reporter: Reporter
) -> tuple["np.ndarray | None", list[Path]]:
    """Draw each face once, into the folder, onto the sheet, or both; return the sheet and the folder's files."""
    import numpy as np

    kept: list[np.ndarray] = []

    def faces() -> Iterator[tuple[list[int | str], np.ndarray]]:
        done = 0
        for names, pixels in recipe.faces(generator):
            done += len(names)
            reporter.progress("sampling", done, len(recipe.points))
            if sheet:
                kept.append(pixels)
            yield names, pixels

    files: list[Path] = []
    if folder is not None:
        files = _write_folder(folder, faces(), recipe, generator)
    else:
        for _ in faces():
            pass
    return recipe.arrange(np.concatenate(kept)) if sheet else None, files


def _write_folder(
    folder: Path, faces: Iterator[tuple[list[int | str], Any]], recipe: "Sheet", generator: "FaceGenerator"
) -> list[Path]:
    """Write single images, then the manifest, a line for each image."""
    from ..images import grid
    from ..images.files import write_images
    from ..storage.atomic import write_atomic

    folder.mkdir(parents=True, exist_ok=True)

    def images() -> Iterator[tuple[Path, Any, dict[str, str]]]:
        for names, pixels in faces:
            for name, face in zip(names, pixels, strict=True):
                text = {**metadata(recipe.single(name), generator), "seed": str(name)}
                yield folder / _file_name(name), grid(face[None]), text

    def write(temporary: Path) -> None:
        with temporary.open("w") as manifest:
            for (path, digest), name in zip(write_images(images()), recipe.points.names(), strict=True):
                line = {"file": path.name, "seed": name, "digest": digest, "snapshot": generator.origin.digest}
                manifest.write(json.dumps(line) + "\n")

    manifest = folder / MANIFEST
    manifest.unlink(missing_ok=True)  # an older one would describe images that are being replaced
    write_atomic(manifest, write)
    return [folder / _file_name(name) for name in recipe.points.names()]


def _file_name(name: int | str) -> str:
    return (
        f"seed-{name:08d}.png" if isinstance(name, int) else f"{name.replace('.safetensors', '').replace('#', '-')}.png"
    )


def arithmetic(
    model: Model = None,
    *,
    plus: Annotated[
        list[str] | None,
        Option(metavar="SEEDS", help="Points whose mean is added, for instance 1,5,9; repeatable."),
    ] = None,
    minus: Annotated[
        list[str] | None, Option(metavar="SEEDS", help="Points whose mean is subtracted; repeatable.")
    ] = None,
    out: Annotated[
        str | None, Option("-o", "--out", help="An image, .png, .jpg or .webp; - writes a PNG to stdout.")
    ] = None,
    save: Annotated[
        PathLike | None, Option(help="A .safetensors file for the latent of the sum; every SEEDS option takes it.")
    ] = None,
    noise: Annotated[float, Option(help="Largest uniform noise on each component of a neighbour.")] = 0.25,
    seed: Annotated[int, Option(help="Seed of the noise.", min=0, max=2**32 - 1)] = 0,
    rescale: Annotated[bool, Option("--rescale", help="Scale the sum to the length that single latents have.")] = False,
    raw: Raw = False,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> Drawing:
    """Add and subtract faces.

    The sum is mean(--plus) - mean(--minus) + mean(--plus) ... The image shows the faces of each term above the face of
    their mean, the sum, and the sum among eight neighbours. As in the DCGAN paper, terms are means of about three faces
    that share a trait; three such terms make a sum as long as a single latent. Sums of other lengths give other faces,
    short ones pale and dull, long ones glaring: --rescale scales them to that length, which the paper does not do.
    SEEDS are seeds, ranges (0-7) and files of latents.
    """
    if out is None and save is None:
        raise ConfigError("arithmetic: nowhere to write; give -o sum.png, or --save sum.safetensors")
    if out is not None:
        check_image_path(out)
    latents = None if save is None else Path(save)
    if latents is not None:
        check_tensor_path(latents, "--save", "latents")
    recipe = _arithmetic_recipe(plus or [], minus or [], noise=noise, seed=seed, rescale=rescale)

    from ..latents import typical_length
    from ..seeds import save_latents

    generator = load_model(model, raw=raw, device=device, reporter=reporter)
    for _, term in recipe.terms():
        term.warn_of_foreign(generator, reporter)
    z = recipe.z(generator)
    ratio = float(z.norm()) / typical_length(generator.z_dim, generator.prior)
    if not 1 / MAX_LENGTH_RATIO < ratio < MAX_LENGTH_RATIO:
        how = "pale and dull" if ratio < 1 else "glaring"
        reporter.warning(
            f"the sum is {ratio:.2f} times as long as a single latent, and its face {how}; --rescale evens that out"
        )
    if latents is not None:
        latents.parent.mkdir(parents=True, exist_ok=True)
        save_latents(latents, z[None], generator, {"command": " ".join(["facegan", *recipe.flags()])})
    if out is not None:
        draw(recipe, generator, out, reporter)
    files = [str(path) for path in (latents, out) if path is not None]
    return Drawing(generator.origin, files, details={"length": float(z.norm())})


def _arithmetic_recipe(plus: list[str], minus: list[str], *, noise: float, seed: int, rescale: bool) -> "Arithmetic":
    """Return the recipe that the flags describe; raises ConfigError, before any model is looked for."""
    from ..recipes import Arithmetic

    return Arithmetic(
        plus=tuple(parse_points(text, "--plus") for text in plus),
        minus=tuple(parse_points(text, "--minus") for text in minus),
        noise=noise, seed=seed, rescale=rescale,
    )  # fmt: skip
