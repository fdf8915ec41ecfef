"""`facegan directions`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, DataError, PluginError
from ..messages import nearest
from .making import check_tensors
from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    from ..data.packed.packed_images import PackedImages
    from ..directions.classifier import Classifier
    from ..directions.saved import Directions
    from ..generator import FaceGenerator

FILE = "directions.safetensors"
COMPONENTS = 8
LEAST_SAMPLES = 500
NOTEWORTHY = 0.10  # a change of an attribute's mean probability that the table tells of
ROOM = 28  # characters of them a row, so that it fits a terminal; --json tells all


def directions(
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help=f"A .safetensors file; by default {FILE} in the run's folder.")
    ] = None,
    attributes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these directions; by default all that the data tell of.")
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

    For each attribute that the data tell of, by a classifier that is trained once and kept; and those that G's first
    layer amplifies most. The table says what each of them moves, by the classifier.
    """
    wanted, kept = _listed(attributes), _listed(keep)
    if unlabelled and (wanted or kept or data):
        raise ConfigError("--unlabelled takes no --attributes, --keep or --data: it looks at G alone")
    if components is not None and components < (1 if unlabelled else 0):
        raise ConfigError(f"--components {components}: give {'1' if unlabelled else '0'} or more")
    snapshot = find_snapshot(model)
    place = _place(out, snapshot)

    from ..checkpoint import load_generator
    from ..devices import resolve_device
    from ..directions.finding import find
    from ..directions.saved import save
    from .console import console
    from .counting import counting

    where = resolve_device(device or "auto")
    generator = load_generator(snapshot, device=where)
    num_components = _components(generator, components, unlabelled)
    if not unlabelled and num < max(LEAST_SAMPLES, 10 * generator.z_dim):
        raise ConfigError(
            f"-n {num}: too few samples to fit directions in {generator.z_dim} dimensions; give "
            f"{max(LEAST_SAMPLES, 10 * generator.z_dim):,} or more"
        )
    classifier, cached, refused = None, False, dict[str, str]()
    if not unlabelled:
        packed = _pictures(snapshot, generator, data)
        classifier, cached, refused = _classifier(packed, where)
        _check_known(wanted, kept, classifier, refused, packed.index.source)
    with counting("sampling") as progress:
        found, without = find(
            generator, classifier, wanted=wanted, kept=kept, num=num, components=num_components, progress=progress
        )
    refused |= without
    if not found.about:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items() if not wanted or name in wanted)
        raise DataError(f"{snapshot}: no direction could be found ({reasons or 'there is none to find'})")
    place.parent.mkdir(parents=True, exist_ok=True)
    save(place, found)
    if as_json:
        print_json({"snapshot": str(snapshot), "file": str(place), **_document(found, classifier, cached, refused)})
        return
    _print(found, classifier, refused, wanted)
    console().print(f"{place}: {len(found.about)} directions", markup=False)


def place_of(snapshot: Path) -> Path | None:
    """Where the directions of a run's snapshot stand by default; None for a snapshot that lies in no run."""
    folder = snapshot.absolute().parent
    run = folder.parent if folder.name == "snapshots" and (folder.parent / "config.json").is_file() else None
    return run / FILE if run else None


def _listed(text: str | None) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def _place(out: Path | None, snapshot: Path) -> Path:
    """Where to write; ConfigError where there is no place, or where something else stands."""
    place = out or place_of(snapshot)
    if place is None:
        raise ConfigError(f"{snapshot} lies in no run's folder; say where to write with -o directions.safetensors")
    check_tensors(place, "-o", "directions")
    return place


def _components(generator: "FaceGenerator", asked: int | None, unlabelled: bool) -> int:
    """How many SeFa directions to find: the default only where the architecture allows any."""
    from ..directions.factorisation import first_map

    if asked == 0:
        return 0
    if asked is not None and asked > generator.z_dim:
        raise ConfigError(f"--components {asked}: z has {generator.z_dim} dimensions; give at most that")
    try:
        first_map(generator)
    except PluginError as error:
        if asked is not None or unlabelled:
            raise
        from .console import console

        console().print(f"{error}; only labelled directions are looked for", markup=False)
        return 0
    return min(COMPONENTS, generator.z_dim) if asked is None else asked


def _pictures(snapshot: Path, generator: "FaceGenerator", source: str | None) -> "PackedImages":
    """The images that the run was trained on, packed."""
    from ..checkpoint import Checkpoint
    from ..data.image_set import training_settings
    from ..data.packed.load import load
    from .counting import counting

    config = generator.origin.config
    try:
        chosen = training_settings(Checkpoint.open(snapshot), source)
    except DataError as error:
        raise DataError(f"{error}, or take --unlabelled, which needs none") from None
    with counting("packing") as progress:
        return load(chosen, resolution=config.resolution, channels=config.channels, progress=progress)


def _classifier(packed: "PackedImages", where: Any) -> "tuple[Classifier | None, bool, dict[str, str]]":
    """The classifier of the images' attributes; None, said on stderr, where they have none to learn."""
    from ..directions.learning import learn
    from .console import console
    from .counting import counting

    try:
        with counting("learning attributes") as progress:
            classifier, targets, cached = learn(packed, device=where, progress=progress)
    except DataError as error:
        raise DataError(f"{packed.index.source}: {error}, or take --unlabelled") from None
    if not classifier.names:
        known = f"none can be learned ({'; '.join(targets.passed_over)})" if targets.passed_over else "nothing is known"
        console().print(
            f"{packed.index.source}: {known} of its images; directions of G's first layer only (SeFa)", markup=False
        )
        return None, False, targets.passed_over
    told = "as learned before" if cached else "learned, and kept in the cache"
    console().print(f"{packed.index.source}: {len(classifier.names)} attributes, {told}", markup=False)
    return classifier, cached, targets.passed_over


def _check_known(
    wanted: list[str], kept: list[str], classifier: "Classifier | None", refused: dict[str, str], source: str
) -> None:
    """Refuse an attribute that the data do not have, and one to be kept that cannot be told; raises ConfigError."""
    from ..directions.finding import usable

    told, hardly = usable(classifier) if classifier else ([], {})
    known = [*told, *hardly]
    for flag, names in (("--attributes", wanted), ("--keep", kept)):
        for name in names:
            if name not in known and name not in refused:
                raise ConfigError(f"{flag}: {source} has no attribute '{name}'; {nearest(name, known)}")
    for name in kept:
        if name not in told:
            raise ConfigError(f"--keep {name}: has no direction: {(refused | hardly)[name]}")


def _document(
    found: "Directions", classifier: "Classifier | None", cached: bool, refused: dict[str, str]
) -> dict[str, Any]:
    scores = classifier.scores.values() if classifier else ()
    rows = [
        {**about.model_dump(), "moved": dict(zip(found.attributes, map(_rounded, moved.tolist()), strict=True))}
        for about, moved in zip(found.about, found.moved, strict=True)
    ]
    return {
        "digest": found.snapshot,
        "step": found.step,
        "classifier": {"cached": cached, "scores": [score.model_dump() for score in scores]},
        "directions": rows,
        "refused": refused,
    }


def _rounded(value: float) -> float:
    return round(value, 4)


def _print(found: "Directions", classifier: "Classifier | None", refused: dict[str, str], wanted: list[str]) -> None:
    """A row a direction, then a row an attribute that has none; as narrow as a terminal, for --json tells the rest."""
    from .console import table

    if not found.attributes:
        rows = [(about.name, _percent(about.share)) for about in found.about]
        table("G's first layer (SeFa)", ("direction", "share of |A|^2"), rows)
    else:
        scores = classifier.scores if classifier else {}
        told: list[tuple[Any, ...]] = []
        for about, moved in zip(found.about, found.moved.tolist(), strict=True):
            change = dict(zip(found.attributes, moved, strict=True))
            itself = _points(change[about.name]) if about.name in change else ""
            auc = _hundredths(scores[about.name].auc if about.name in scores else None)
            fitted = _percent(about.share), _hundredths(about.auc)
            told.append((about.name, auc, *fitted, itself, _others(about.name, change)))
        headings = "direction", "AUC", "share", "rule", "itself", "also moves"
        table("What moves from -2 to +2, in points of 100", headings, told)
    without = [(name, reason) for name, reason in refused.items() if not wanted or name in wanted]
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
    """The attributes that a direction moves most beside its own: the first, and as many more as ROOM holds."""
    others = sorted((each for each in change if each != name), key=lambda each: -abs(change[each]))
    told = [f"{each} {_points(change[each])}" for each in others if abs(change[each]) >= NOTEWORTHY]
    while len(told) > 1 and len(", ".join(told)) > ROOM:
        told.pop()
    return ", ".join(told)
