"""`facegan sample`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .making import (
    STDOUT,
    about,
    check_show,
    check_size,
    check_still,
    points_of,
    show_image,
    warn_of_strangers,
    write_still,
)
from .options import Device, Json, Model, find_snapshot, load_torch, print_json

if TYPE_CHECKING:
    import numpy as np

    from ..generator import FaceGenerator
    from ..recipes import Sheet
    from ..seeds import Points

MANIFEST = "manifest.jsonl"


def sample(
    model: Model = None,
    num: Annotated[int | None, typer.Option("-n", "--num", help="How many: the seeds 0 to N-1. Default 64.")] = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", help="A sheet, .png, .jpg or .webp; FOLDER/ for single images; - for stdout."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Which seeds, for instance 0-63,99, or files of latents; one seed, one face.")
    ] = None,
    separate: Annotated[
        Path | None, typer.Option(help="A folder for single images, seed-00000007.png, and manifest.jsonl.")
    ] = None,
    truncation: Annotated[
        float, typer.Option(metavar="PSI", help="Draw from PSI * z: below 1, more ordinary faces that vary less.")
    ] = 1.0,
    rows: Annotated[int | None, typer.Option(help="Rows of the sheet, at most.")] = None,
    cols: Annotated[int | None, typer.Option(help="Columns of the sheet; by default near-square.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Write the seed under each face.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Open the sheet, or draw it in the terminal.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The current weights instead of their moving average.")] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Draw faces from a trained generator."""
    if out is not None and out.endswith("/"):
        if separate is not None:
            raise ConfigError(f"-o {out} and --separate {separate} both name a folder; give one")
        separate, out = Path(out), None
    _check_places(out, separate, show=show, as_json=as_json)
    if out is None and not show and (rows is not None or cols is not None or labels):
        raise ConfigError("--rows, --cols and --labels arrange a sheet; give -o sheet.png")
    if not 0 <= truncation <= 1:
        raise ConfigError(f"--truncation is {truncation:g}; give 0 (one mean face) to 1 (no truncation)")
    points, columns = _choose(seeds, num, rows, cols)
    snapshot = find_snapshot(model)

    from ..checkpoint import load_generator
    from ..devices import resolve_device
    from ..recipes import Sheet

    generator = load_generator(snapshot, raw=raw, device=resolve_device(device or "auto"))
    warn_of_strangers(points, generator)
    recipe = Sheet(points=points, truncation=truncation, columns=columns, labels=labels)
    if out is not None or show:
        check_size(recipe, generator, out or "sheet.png")
    if separate is not None:
        _check_names(points)
    sheet, files = _draw(recipe, generator, separate, sheet=out is not None or show)
    if sheet is not None and out is not None:
        write_still(out, sheet, about(recipe, generator))
    if sheet is not None and show:
        show_image(sheet, Path(out) if out and out != STDOUT else None)
    if as_json:
        known = {key: getattr(generator.origin, key) for key in ("digest", "step", "weights")}
        written = [*map(str, dict.fromkeys(files)), *([out] if out else [])]
        manifest = {"manifest": str(separate / MANIFEST)} if separate else {}
        print_json({"snapshot": str(snapshot), **known, "truncation": truncation, "files": written, **manifest})
        return
    if separate is not None:
        print(f"{separate}/: {len(set(files))} images")
    if out is not None and out != STDOUT:
        print(out)


def _check_places(out: str | None, separate: Path | None, *, show: bool, as_json: bool) -> None:
    """Refuse what cannot be written, before anything is loaded; raises ConfigError."""
    if out is None and separate is None and not show:
        raise ConfigError("sample: nowhere to write; give -o grid.png, --separate FOLDER, or --show")
    if out is not None:
        check_still(out, as_json=as_json)
    if separate is not None and separate.exists() and not separate.is_dir():
        raise ConfigError(f"--separate {separate}: is a file; give a folder")
    if show:
        check_show()


def _choose(seeds: str | None, num: int | None, rows: int | None, cols: int | None) -> tuple["Points", int | None]:
    """The points, and the columns of their sheet (None: near-square); raises ConfigError."""
    load_torch()
    from ..seeds import MOST, Points

    for flag, value in (("--rows", rows), ("--cols", cols)):
        if value is not None and not 1 <= value <= MOST:
            raise ConfigError(f"{flag} {value}: give 1 to {MOST:,}")
    if seeds is not None and num is not None:
        raise ConfigError("-n and --seeds exclude each other; give one")
    if seeds is not None:
        points = points_of(seeds)
    else:
        num = num if num is not None else rows * cols if rows and cols else 64
        if not 1 <= num <= MOST:
            raise ConfigError(f"-n {num}: give 1 to {MOST:,}")
        points = Points.of(range(num))
    if rows and cols and len(points) > rows * cols:
        raise ConfigError(f"--rows {rows} --cols {cols}: a sheet of {rows * cols}, but there are {len(points)} faces")
    columns = cols or (rows and -(-len(points) // rows))
    return points, columns and min(columns, len(points))


def _check_names(points: "Points") -> None:
    """Refuse latents whose image would have another one's name; raises ConfigError."""
    names: dict[str, str] = {}
    for latent in points.latents:
        name = _file_name(latent)
        if names.setdefault(name, latent) != latent or re.fullmatch(r"seed-\d{8,}\.png", name):
            raise ConfigError(f"--separate: {latent} would be {name}, as another image is; rename its file")


def _draw(
    recipe: "Sheet", generator: "FaceGenerator", separate: Path | None, *, sheet: bool
) -> tuple["np.ndarray | None", list[Path]]:
    """Draw each face once: into the folder, onto the sheet, or both; the sheet's pixels and the folder's files."""
    import numpy as np

    from .counting import counting

    kept: list[np.ndarray] = []
    done = 0

    def faces() -> Iterator[tuple[list[int | str], np.ndarray]]:
        nonlocal done
        for names, pixels in recipe.faces(generator):
            done += len(names)
            progress(done, len(recipe.points))
            if sheet:
                kept.append(pixels)
            yield names, pixels

    files: list[Path] = []
    with counting("sampling") as progress:
        if separate is not None:
            files = _write_folder(separate, faces(), recipe, generator)
        else:
            for _ in faces():
                pass
    return recipe.arrange(np.concatenate(kept)) if sheet else None, files


def _write_folder(
    folder: Path, faces: Iterator[tuple[list[int | str], Any]], recipe: "Sheet", generator: "FaceGenerator"
) -> list[Path]:
    """Single images, then, when all are there, the manifest: a line an image."""
    from ..images import grid, write_images
    from ..storage.atomic import write_atomic

    folder.mkdir(parents=True, exist_ok=True)

    def pictures() -> Iterator[tuple[Path, Any, dict[str, str]]]:
        for names, pixels in faces:
            for name, picture in zip(names, pixels, strict=True):
                text = {**about(recipe.single(name), generator), "seed": str(name)}
                yield folder / _file_name(name), grid(picture[None]), text

    def write(temporary: Path) -> None:
        with temporary.open("w") as manifest:
            for (path, digest), name in zip(write_images(pictures()), recipe.points.names(), strict=True):
                line = {"file": path.name, "seed": name, "digest": digest, "snapshot": generator.origin.digest}
                manifest.write(json.dumps(line) + "\n")

    manifest = folder / MANIFEST
    manifest.unlink(missing_ok=True)  # an older one would speak of images that are being replaced
    write_atomic(manifest, write)
    return [folder / _file_name(name) for name in recipe.points.names()]


def _file_name(name: int | str) -> str:
    return (
        f"seed-{name:08d}.png" if isinstance(name, int) else f"{name.replace('.safetensors', '').replace('#', '-')}.png"
    )
