"""Directions in the latent space: find them, and move faces along them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ..errors import ConfigError, SnapshotError
from ..messages import counted
from ..reporter import SILENT, Reporter
from . import output
from .options import Device, Model, PathLike
from .output import Drawing

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoint import Checkpoint
    from ..directions import Directions, FoundDirections
    from ..generator import FaceGenerator
    from ..recipes import Along, Edit

USUAL_RANGE = "-3..3"


@dataclass(frozen=True, eq=False)
class SavedDirections:
    """Directions that were found, the snapshot file they were found for, and the file they were written to."""

    found: "FoundDirections"
    snapshot: Path
    file: Path

    def document(self) -> dict[str, Any]:
        """Return all of it but the vectors, for JSON."""
        return {"snapshot": str(self.snapshot), "file": str(self.file), **self.found.document()}


def directions(
    model: Model = None,
    out: Annotated[
        PathLike | None,
        Option("-o", "--out", help="A .safetensors file; by default directions.safetensors in the run's folder."),
    ] = None,
    *,
    attributes: Annotated[
        str | None, Option(metavar="A,B", help="Only these directions; by default all attributes of the data.")
    ] = None,
    keep: Annotated[
        str | None, Option(metavar="A,B", help="Make all other directions orthogonal to those of these attributes.")
    ] = None,
    components: Annotated[
        int | None, Option(help="Number of directions of G's first layer, sefa-1, ...; 0: none. Default 8.")
    ] = None,
    unlabelled: Annotated[bool, Option("--unlabelled", help="Only those of G: no images are needed.")] = False,
    num: Annotated[int, Option("-n", "--num", help="Number of samples to label.")] = 10_000,
    data: Annotated[
        str | None, Option(help="Where the training images are; by default where the run found them.")
    ] = None,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> SavedDirections:
    """Find directions in z that change one thing about a face.

    There is one for each attribute of the data, found with a classifier that is trained once and cached, and there are
    those that G's first layer amplifies most. The table shows what each of them moves, according to the classifier.
    """
    from ..directions import DirectionSettings, default_path, find_directions, save_directions

    settings = DirectionSettings(
        attributes=parse_names(attributes), keep=parse_names(keep), components=components, unlabelled=unlabelled,
        num=num, source=data,
    )  # fmt: skip
    checkpoint, where = output.open_model(model, device, reporter)
    path = default_path(checkpoint) if out is None else Path(out)
    if path is None:
        raise ConfigError(f"{checkpoint.path} is not in a run's folder; give -o directions.safetensors")
    output.check_tensor_path(path, "-o", "directions")
    found = find_directions(checkpoint, settings, device=where, reporter=reporter)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_directions(path, found.directions)
    reporter.info(f"{path}: {len(found.directions.infos)} directions")
    return SavedDirections(found, checkpoint.path, path)


def parse_names(text: str | None) -> tuple[str, ...]:
    """Parse names that are separated by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


EditOut = Annotated[
    str | None, Option("-o", "--out", help="An image, .png, .jpg or .webp; - for stdout; FOLDER/ for each face.")
]
Keep = Annotated[
    str | None, Option(metavar="A,B", help="Remove what the directions share with the directions of these.")
]


def edit(
    model: Model = None,
    *,
    seeds: Annotated[str, Option(help="Faces: seeds, ranges, files of latents.")] = "0-7",
    direction: Annotated[
        list[str] | None,
        Option(metavar="NAME:FROM..TO", help="smile:-3..3, or smile:2 for a fixed shift; repeated ones add up."),
    ] = None,
    out: EditOut = None,
    cols: Annotated[int | None, Option(help="Faces in a row, from one end to the other.")] = None,
    keep: Keep = None,
    directions: Annotated[
        PathLike | None, Option(help="A file that 'facegan directions' wrote; by default the run's own.")
    ] = None,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> Drawing:
    """Move faces along directions that were found.

    Each row shows a face that moves along directions of 'facegan directions' from left to right; the frame marks the
    unmoved face.
    """
    if not direction:
        raise ConfigError("edit: no direction; give for instance --direction smile:-3..3")
    if out is None:
        raise ConfigError("edit: nowhere to write; give -o edit.png, or -o FOLDER/ for single images")
    asked = {name: ends for name, *ends in map(parse_direction, direction)}
    if len(asked) < len(direction):
        raise ConfigError("--direction: a name is given twice; give each once")
    output.check_output_path(out, is_image=not out.endswith("/"))
    points = output.parse_points(seeds)

    from ..recipes import Edit

    checkpoint, where = output.open_model(model, device, reporter)
    generator = checkpoint.generator(device=where)
    known, kept = _load_directions(directions, checkpoint, generator), parse_names(keep)
    default = 2 if all(high is None for _, high in asked.values()) else 7  # columns
    recipe = Edit(points=points, along=_along(asked, kept, known), kept=kept, columns=default if cols is None else cols)
    points.warn_of_foreign(generator, reporter)
    if out.endswith("/"):
        files = _write_faces(recipe, generator, Path(out), reporter)
        lines = [f"{out}: {counted(len(files), 'image')}"]
    else:
        output.draw(recipe, generator, out, reporter)
        lines = files = [out]
    shifts = [
        {each.name: shift for each, shift in zip(recipe.along, column, strict=True)} for column in recipe.amounts()
    ]
    return Drawing(generator.origin, files, {"columns": shifts}, lines)


def parse_direction(text: str) -> tuple[str, float, float | None]:
    """Parse smile:-3..3 to (name, -3, 3), and smile:2 to (name, 2, None); a name alone has the usual range.

    Raises:
        ConfigError: It names no direction, or no amounts.
    """
    from ..recipes.edit import MAX_AMOUNT

    name, amounts = text.rsplit(":", 1) if ":" in text else (text, USUAL_RANGE)
    low, dots, high = amounts.partition("..")
    try:
        ends = [float(low), float(high) if dots else float(low)]
    except ValueError:
        ends = [math.nan]
    if not name.strip() or not all(math.isfinite(end) and abs(end) <= MAX_AMOUNT for end in ends):
        raise ConfigError(
            f"--direction {text}: give a name with two ends or one amount, at most {MAX_AMOUNT:g} in size: "
            "smile:-3..3, smile:2"
        )
    return name.strip(), ends[0], ends[1] if dots else None


def _load_directions(file: PathLike | None, checkpoint: "Checkpoint", generator: "FaceGenerator") -> "Directions":
    """Load the directions of a file, or those in the folder of the snapshot's run; raises SnapshotError."""
    from ..directions import default_path, load_directions

    path = default_path(checkpoint) if file is None else Path(file)
    if path is None or (file is None and not path.exists()):
        raise SnapshotError(
            f"{path or checkpoint.path}: no directions yet; find them with 'facegan directions "
            f"{path.parent if path else checkpoint.path}', or name a file with --directions"
        )
    return load_directions(path, generator)


def _along(asked: dict[str, list[float | None]], kept: tuple[str, ...], known: "Directions") -> "tuple[Along, ...]":
    """Return the directions and their ends.

    Next to a range, a single amount shifts all columns alike; without any range, the columns go from the face itself
    to all shifts.
    """
    from ..recipes import Along
    from ..seeds import Latent

    is_fixed = all(high is None for _, high in asked.values())
    along = []
    for name, (low, high) in asked.items():
        try:
            vector = Latent.of(known.vector(name, kept), known.snapshot)
        except ConfigError as error:
            raise ConfigError(f"--{'direction' if name not in known.names else 'keep'}: {error}") from None
        start, end = (0.0, low) if is_fixed else (low, low if high is None else high)
        along.append(Along(name=name, vector=vector, low=start, high=end))
    return tuple(along)


def _write_faces(recipe: "Edit", generator: "FaceGenerator", folder: Path, reporter: Reporter) -> list[str]:
    """Write each face alone, with its own latent in its metadata; return the files."""
    from ..images import grid
    from ..images.files import write_images
    from ..recipes import Sheet
    from ..seeds import Latent, Points

    digest, labels, edited = generator.origin.digest, recipe.points.labels(), output.command_line(recipe)

    def images() -> Iterator[tuple[Path, "np.ndarray", dict[str, str]]]:
        for number, (z, face) in enumerate(recipe.faces(generator, reporter)):
            row, column = divmod(number, recipe.columns)
            name = f"{row:04d}-{labels[row]}-{column:02d}"
            alone = Sheet(points=Points(text=name, latents={name: Latent.of(z, digest)}))
            text = output.metadata(alone, generator) | {"seeds": labels[row], "command": edited}
            yield folder / f"{name}.png", grid(face[None]), text

    folder.mkdir(parents=True, exist_ok=True)
    return [str(path) for path, _ in write_images(images())]
