"""`facegan edit`."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, SnapshotError
from .making import STDOUT, about, check_place, check_still, command, make, points_of, warn_of_strangers
from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoint import Checkpoint
    from ..directions import Directions
    from ..generator import FaceGenerator
    from ..recipes import Edit
    from ..seeds import Points

WIDTH = 7  # columns
MOST_COLUMNS = 1000
MOST = 100.0  # standard deviations, far outside of any prior
_USUAL = "-3..3"


def edit(
    model: Model = None,
    seeds: Annotated[str, typer.Option(help="Which faces: seeds, ranges, files of latents.")] = "0-7",
    direction: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:FROM..TO", help="smile:-3..3, or smile:2 for a fixed shift; repeated ones add up."),
    ] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="An image, .png, .jpg or .webp; - for stdout; FOLDER/ for each.")
    ] = None,
    columns: Annotated[int | None, typer.Option("--cols", help="Faces a row, from one end to the other.")] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="A,B", help="Take out what the directions share with those of these.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--directions", help="What 'facegan directions' wrote; by default the run's own.")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Move faces along directions that were found.

    A row a face, its amounts of 'facegan directions' growing from left to right; where it is marked, nothing is moved.
    """
    if not direction:
        raise ConfigError("edit: no direction; give for instance --direction smile:-3..3")
    if out is None:
        raise ConfigError("edit: nowhere to write; give -o edit.png, or -o FOLDER/ for single images")
    asked = [parse_direction(text) for text in direction]
    if len({name for name, _, _ in asked}) < len(asked):
        raise ConfigError(f"--direction: '{_twice(asked)}' is given twice; give each once")
    if columns is not None and not 2 <= columns <= MOST_COLUMNS:
        raise ConfigError(f"--cols {columns}: give 2 to {MOST_COLUMNS:,}")
    if out.endswith("/"):
        check_place(out)
    else:
        check_still(out, as_json=as_json)
    points = points_of(seeds)
    snapshot = find_snapshot(model)

    from ..checkpoint import Checkpoint
    from ..devices import resolve_device

    checkpoint = Checkpoint.open(snapshot)
    generator = checkpoint.generator(device=resolve_device(device or "auto"))
    known = _directions(file, checkpoint, generator)
    recipe = _recipe(points, asked, [name.strip() for name in (keep or "").split(",") if name.strip()], columns, known)
    warn_of_strangers(points, generator)
    if out.endswith("/"):
        files = _singles(recipe, generator, Path(out))
    else:
        make(recipe, generator, out)
        files = [Path(out)]
    if as_json:
        names = [each.name for each in recipe.along]
        amounts = [dict(zip(names, column, strict=True)) for column in recipe.amounts()]
        info = {key: getattr(generator.origin, key) for key in ("digest", "step", "weights")}
        print_json({"snapshot": str(snapshot), **info, "columns": amounts, "files": [str(path) for path in files]})
    elif out.endswith("/"):
        print(f"{out}: {len(files)} images")
    elif out != STDOUT:
        print(out)


def parse_direction(text: str) -> tuple[str, float, float | None]:
    """What smile:-3..3 (name, -3, 3) and smile:2 (name, 2, None) mean; a name alone is the usual range.

    Raises:
        ConfigError: It names no direction, or no amounts.
    """
    name, amounts = text.rsplit(":", 1) if ":" in text else (text, _USUAL)
    low, dots, high = amounts.partition("..")
    try:
        ends = [float(low), float(high) if dots else float(low)]
    except ValueError:
        ends = [math.nan]
    if not name.strip() or not all(math.isfinite(end) and abs(end) <= MOST for end in ends):
        raise ConfigError(
            f"--direction {text}: give a name with two ends or one amount, at most {MOST:g} in size: smile:-3..3, "
            "smile:2"
        )
    return name.strip(), ends[0], ends[1] if dots else None


def _twice(asked: list[tuple[str, float, float | None]]) -> str:
    names = [name for name, _, _ in asked]
    return next(name for name in names if names.count(name) > 1)


def _directions(file: Path | None, checkpoint: "Checkpoint", generator: "FaceGenerator") -> "Directions":
    """The directions of a file, or those in the folder of the snapshot's run.

    Raises:
        SnapshotError: There are none, or they are another model's.
    """
    from ..directions import default_path, load_directions

    place, snapshot = file or default_path(checkpoint), checkpoint.path
    if place is None:
        raise SnapshotError(
            f"{snapshot}: lies in no run's folder; find its directions with 'facegan directions {snapshot} -o "
            "directions.safetensors', and give them with --directions"
        )
    if file is None and not place.exists():
        raise SnapshotError(
            f"{place}: no directions yet; find them with 'facegan directions {place.parent}', or name a file with "
            "--directions"
        )
    return load_directions(place, generator)


def _recipe(
    points: "Points",
    asked: list[tuple[str, float, float | None]],
    kept: list[str],
    columns: int | None,
    known: "Directions",
) -> "Edit":
    """The edit that the flags mean.

    Beside a range, a single amount shifts all columns alike; where there is no range at all, the columns go from the
    face as it is to all shifts: two of them, unless `--cols` says how many.
    """
    from ..recipes import Along, Edit
    from ..seeds import Latent

    fixed = all(high is None for _, _, high in asked)
    along = []
    for name, low, high in asked:
        try:
            vector = Latent.of(known.vector(name, kept), known.snapshot)
        except ConfigError as error:
            raise ConfigError(f"--{'direction' if name not in known.names else 'keep'}: {error}") from None
        start, end = (0.0, low) if fixed else (low, low if high is None else high)
        along.append(Along(name=name, vector=vector, low=start, high=end))
    return Edit(points=points, along=tuple(along), kept=tuple(kept), columns=columns or (2 if fixed else WIDTH))


def _singles(recipe: "Edit", generator: "FaceGenerator", folder: Path) -> list[Path]:
    """Write each face alone; each carries its own latent, so that it can be made again by itself."""
    from ..images import grid, write_images
    from ..recipes import Sheet
    from ..seeds import Latent, Points
    from .counting import reporting

    digest, labels, edited = generator.origin.digest, recipe.points.labels(), command(recipe)

    def pictures() -> Iterator[tuple[Path, "np.ndarray", dict[str, str]]]:
        for number, (z, picture) in enumerate(recipe.faces(generator, reporter)):
            row, column = divmod(number, recipe.columns)
            name = f"{row:04d}-{labels[row]}-{column:02d}"
            alone = Sheet(points=Points(text=name, latents={name: Latent.of(z, digest)}))
            text = about(alone, generator) | {"seeds": labels[row], "command": edited}
            yield folder / f"{name}.png", grid(picture[None]), text

    folder.mkdir(parents=True, exist_ok=True)
    with reporting() as reporter:
        return [path for path, _ in write_images(pictures())]
