"""`facegan neighbours`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, DataError, PluginError, SnapshotError
from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    import numpy as np

    from ..config import DataConfig
    from ..data.packed.load import PackedImages
    from ..generator import FaceGenerator
    from ..neighbours import Comparison, Memorisation, Share, Space, Unseen
    from ..seeds import Points

MOST_SAMPLES = 50_000  # of the measure, which are kept in memory

# The verdict is that of pixels: D has seen the training images, and its features may tell them from others.
VERDICTS = {
    True: "In part at least, it memorises: in pixels, more samples than by chance are nearest to a training image.",
    False: "No sign of memorising: in pixels, samples are as near to images that were not trained on.",
    None: "Too few samples or held-out images to tell: in pixels, chance alone explains any share.",
}


def neighbours(
    model: Model = None,
    seeds: Annotated[str, typer.Option(help="Whose neighbours are shown: seeds, or files of latents.")] = "0-15",
    out: Annotated[Path, typer.Option("-o", "--out", help="The image; the ending chooses the format.")] = Path(
        "neighbours.png"
    ),
    k: Annotated[
        int, typer.Option("--nearest", min=1, max=32, metavar="K", help="Training images beside each sample.")
    ] = 3,
    num: Annotated[
        int,
        typer.Option(
            "-n",
            "--num",
            min=0,
            max=MOST_SAMPLES,
            help="Samples that are measured, the seeds 0 to N-1, "
            "against at most as many held-out images; 0: no measure.",
        ),
    ] = 2000,
    source: Annotated[
        str | None, typer.Option("--data", metavar="SOURCE", help="Where the training images are, if they moved.")
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(
            "--held-out",
            metavar="SOURCE",
            help="Pictures that were not trained on; by default those that data.split = train kept away, and of drawn "
            "faces others.",
        ),
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Show samples beside the nearest training images.

    Is it memorising? The image has each sample in a row, with the training images that are nearest in pixels, and
    nearest in what the discriminator sees. The measure compares how near samples are to training images with how
    near images are that were not trained on. The image contains training images: their licence holds for it.
    """
    from ..images import check_ending
    from .making import points_of, warn_of_strangers

    check_ending(out)
    points = points_of(seeds)
    if not num and other is not None:
        raise ConfigError(f"--held-out {other}: is for the measure, of which -n 0 wants none; give one of them")
    snapshot = find_snapshot(model)

    from .. import neighbours as engine
    from ..checkpoint import Checkpoint
    from ..data.image_set import training_settings
    from ..devices import resolve_device
    from .console import console

    chosen = resolve_device(device or "auto")
    checkpoint = Checkpoint.open(snapshot)
    generator = checkpoint.generator(device=chosen)
    spaces = [engine.pixels(), *_features(snapshot, generator, chosen)]
    engine.check_fits(len(points), 1 + len(spaces) * k, generator.origin.config.resolution)
    warn_of_strangers(points, generator)
    data = training_settings(checkpoint, source)
    training = _load(data, generator, "" if source else "; name the training images with --data SOURCE")
    if k > len(training):
        raise ConfigError(f"--nearest {k}: there are {len(training)} training images; ask for fewer")
    unseen, refused = _unseen(generator, data, training, num, other) if num else (None, "")
    if refused:
        console().print(refused, markup=False)
    shown = _draw(generator, points)
    found = [_compare(space, training, shown, unseen, k, data.mirror, chosen) for space in spaces]
    labels = [f"seed {label}" if label.isdigit() else label for label in points.labels()]
    pairs = [(each.space, each.neighbours) for each in found]
    _save(out, engine.sheet(shown, labels, training.images, pairs), generator, points)
    if as_json:
        counts = {"num_samples": len(unseen.samples), "num_heldout": len(unseen.heldout)} if unseen else {}
        numbers = _document(generator, points, training, found)
        print_json({"file": str(out), "snapshot": str(snapshot), **counts, "no_measure": refused, **numbers})
    else:
        print(out)
        _show(training, unseen, found)


def _features(snapshot: Path, generator: "FaceGenerator", device: Any) -> list["Space"]:
    """D's features, if there is a D that has any; else it is said why not."""
    import torch

    from ..checkpoint import load_discriminator
    from ..features.discriminator import last_activation
    from ..neighbours import features
    from .console import console

    config = generator.origin.config
    try:
        D = load_discriminator(snapshot, device=device)
        last_activation(D, torch.zeros(1, config.channels, config.resolution, config.resolution, device=device))
    except (SnapshotError, PluginError) as error:  # an imported generator, whose D is not in the file
        console().print(f"{error}; comparing pixels alone", markup=False)
        return []
    return [features(D)]


def _load(data: "DataConfig", generator: "FaceGenerator", advice: str = "") -> "PackedImages":
    from ..data.packed.load import load
    from .counting import counting

    config = generator.origin.config
    try:
        with counting("packing") as progress:
            return load(data, resolution=config.resolution, channels=config.channels, progress=progress)
    except DataError as error:
        raise DataError(f"{error}{advice}") from None


def _unseen(
    generator: "FaceGenerator", data: "DataConfig", training: "PackedImages", num: int, other: str | None
) -> tuple["Unseen | None", str]:
    """What is measured, or why nothing is."""
    from ..data.image_set import from_packed, held_out
    from ..neighbours import Unseen
    from ..reporter import Callbacks
    from ..seeds import Points
    from .console import console
    from .counting import counting

    with counting("packing") as progress:
        reporter = Callbacks(line=lambda line: console().print(line, markup=False), progress={"packing": progress})
        heldout = held_out(from_packed(training, settings=data), num, other, reporter=reporter)
    if heldout is None:
        return None, (
            f"no measure: data.split = {data.split} kept no images away from this run; train with "
            "--set data.split=train, or name images that it has not seen with --held-out SOURCE"
        )
    return Unseen(_draw(generator, Points.of(range(num))), heldout.images), ""


def _draw(generator: "FaceGenerator", points: "Points") -> "np.ndarray":
    """The samples of points, uint8 (n, C, H, W)."""
    import numpy as np

    from ..images import to_uint8
    from ..sampling import sample
    from .counting import counting

    kept: list[np.ndarray] = []
    with counting("sampling") as progress:
        for _, pictures in sample(generator, points):
            kept.append(to_uint8(pictures).numpy())
            progress(sum(map(len, kept)), len(points))
    return np.concatenate(kept)


def _compare(
    space: "Space", training: "PackedImages", shown: Any, unseen: "Unseen | None", k: int, mirror: bool, device: Any
) -> "Comparison":
    from ..neighbours import compare
    from .counting import counting

    with counting(f"comparing {space.name}") as progress:
        return compare(space, training.images, shown, unseen, k=k, mirror=mirror, device=device, progress=progress)


def _save(out: Path, picture: "np.ndarray", generator: "FaceGenerator", points: "Points") -> None:
    from ..images import save
    from .making import origin

    description = "synthetic faces beside their nearest training images: contains training images"
    save(out, picture, {**origin(generator), "Description": description, "seeds": points.text})


def _show(training: "PackedImages", unseen: "Unseen | None", found: list["Comparison"]) -> None:
    """The measure as a table for people."""
    from .console import table

    measures = [each.memorisation for each in found if each.memorisation is not None]
    if unseen is None:
        return
    print(
        f"\n{len(unseen.samples):,} samples and {len(unseen.heldout):,} held-out images against "
        f"{len(training):,} training images:\n"
    )
    table("", ("", "if nothing is memorised", *(each.space.name for each in found)), _rows(measures))
    print(f"\n{VERDICTS[measures[0].shows]}")


def _rows(measures: list["Memorisation"]) -> list[tuple[str, ...]]:
    def bounds(share: "Share") -> str:
        return f"({share.interval[0]:.3f} to {share.interval[1]:.3f})"

    def row(title: str, chance: str, shares: list["Share"]) -> tuple[str, ...]:
        return (title, chance, *(f"{share.value:.3f} {bounds(share)}" for share in shares))

    seen = [f"{each.seen:.3f} (by chance {bounds(each.seen_by_chance)[1:]}" for each in measures]
    medians = [f"{each.median_sample:.3f} / {each.median_heldout:.3f}" for each in measures]
    return [
        row("samples nearer than held-out images", "0.500", [each.nearer for each in measures]),
        row("nearer than the nearest 5 % of those", "0.050", [each.below_5 for each in measures]),
        row("nearer than the nearest 1 % of those", "0.010", [each.below_1 for each in measures]),
        ("nearest to a training image, of all", f"{measures[0].seen_by_chance.value:.3f}", *seen),
        ("median distance, samples / held-out", "equal", *medians),
    ]


def _document(
    generator: "FaceGenerator", points: "Points", training: "PackedImages", found: list["Comparison"]
) -> dict[str, Any]:
    """All numbers, for programs."""

    def near(comparison: "Comparison", place: int) -> list[dict[str, Any]]:
        each = comparison.neighbours
        columns = zip(each.indices[place], each.distances[place], each.mirrored[place], strict=True)
        return [
            {"name": training.names[index], "index": int(index), "distance": float(distance), "mirrored": bool(flipped)}
            for index, distance, flipped in columns
        ]

    return {
        **{key: getattr(generator.origin, key) for key in ("digest", "step", "weights")},
        "training": {"source": training.index.source, "num_images": len(training), "digest": training.digest},
        "units": {each.space.key: each.space.unit for each in found},
        "memorisation": {
            each.space.key: each.memorisation.model_dump() for each in found if each.memorisation is not None
        },
        "neighbours": [
            {"point": name, **{each.space.key: near(each, place) for each in found}}
            for place, name in enumerate(points.names())
        ],
    }
