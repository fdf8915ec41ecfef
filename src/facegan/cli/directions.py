"""`facegan directions`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .making import check_tensors
from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    from ..directions import FoundDirections

MIN_CHANGE = 0.10  # of an attribute's mean probability, from which on the table names it
WIDTH = 28  # characters of the names in a row, so that it fits a terminal; --json has all


def directions(
    model: Model = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A .safetensors file; by default directions.safetensors in the run's folder."),
    ] = None,
    attributes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these directions; by default all that the data allow.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="A,B", help="Make all other directions orthogonal to those of these.")
    ] = None,
    components: Annotated[
        int | None, typer.Option(help="How many directions of G's first layer, sefa-1, ...; 0: none. Default 8.")
    ] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Only those; no images are needed.")] = False,
    num: Annotated[int, typer.Option("-n", "--num", help="Samples to label.")] = 10_000,
    data: Annotated[str | None, typer.Option(help="Where the images are; by default where the run found them.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Find directions in z that change one thing about a face.

    One for each attribute of the data, by a classifier that is trained once and cached; and those that G's first
    layer amplifies most. The table shows what each of them moves, by the classifier.
    """
    from ..directions import DirectionSettings, default_path, find_directions, save_directions

    settings = DirectionSettings(
        attributes=_names(attributes), keep=_names(keep), components=components, unlabelled=unlabelled, num=num,
        source=data,
    )  # fmt: skip
    snapshot = find_snapshot(model)

    from ..checkpoint import Checkpoint
    from ..devices import resolve_device
    from .console import console
    from .counting import reporting

    checkpoint = Checkpoint.open(snapshot)
    place = out or default_path(checkpoint)
    if place is None:
        raise ConfigError(f"{snapshot} lies in no run's folder; say where to write with -o directions.safetensors")
    check_tensors(place, "-o", "directions")
    where = resolve_device(device or "auto")
    with reporting() as reporter:
        found = find_directions(checkpoint, settings, device=where, reporter=reporter)
    place.parent.mkdir(parents=True, exist_ok=True)
    save_directions(place, found.directions)
    if as_json:
        print_json({"snapshot": str(snapshot), "file": str(place), **found.document()})
        return
    print_directions(found, settings.attributes)
    console().print(f"{place}: {len(found.directions.infos)} directions", markup=False)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def print_directions(found: "FoundDirections", wanted: tuple[str, ...]) -> None:
    """Print a row per direction, then a row per attribute that has none; as narrow as a terminal."""
    from .console import table

    directions = found.directions
    if not directions.attributes:
        rows = [(info.name, _percent(info.share)) for info in directions.infos]
        table("G's first layer (SeFa)", ("direction", "share of |A|^2"), rows)
    else:
        scores = found.classifier.scores if found.classifier else {}
        cells: list[tuple[Any, ...]] = []
        for info, moved in zip(directions.infos, directions.moved.tolist(), strict=True):
            change = dict(zip(directions.attributes, moved, strict=True))
            itself = _points(change[info.name]) if info.name in change else ""
            auc = _hundredths(scores[info.name].auc if info.name in scores else None)
            fitted = _percent(info.share), _hundredths(info.auc)
            cells.append((info.name, auc, *fitted, itself, _others(info.name, change)))
        headings = "direction", "AUC", "share", "rule", "itself", "also moves"
        table("What moves from -2 to +2, in points of 100", headings, cells)
    without = [(name, reason) for name, reason in found.refused.items() if not wanted or name in wanted]
    if without:
        print()
        table("", ("no direction", "why"), without)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _hundredths(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _points(change: float) -> str:
    return f"{100 * change:+.0f}"


def _others(name: str, change: dict[str, float]) -> str:
    """Return the attributes that a direction moves most besides its own: the first, and as many as fit WIDTH."""
    others = sorted((each for each in change if each != name), key=lambda each: -abs(change[each]))
    named = [f"{each} {_points(change[each])}" for each in others if abs(change[each]) >= MIN_CHANGE]
    while len(named) > 1 and len(", ".join(named)) > WIDTH:
        named.pop()
    return ", ".join(named)
