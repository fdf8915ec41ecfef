"""`facegan neighbours`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    from ..neighbours import FoundNeighbours, Memorisation, Share

# The answer is that of pixels: D has seen the training images, and its features may tell them from others.
ANSWERS = {
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
        int, typer.Option("--nearest", min=1, max=32, metavar="K", help="Training images next to each sample.")
    ] = 3,
    num: Annotated[
        int,
        typer.Option(
            "-n",
            "--num",
            min=0,
            max=50_000,
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
            help="Images that were not trained on; by default those that data.split = train kept away, and of drawn "
            "faces others.",
        ),
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Show samples next to the nearest training images.

    Is it memorising? The image has each sample in a row, with the training images that are nearest in pixels, and
    nearest in what the discriminator sees. The measure compares how near samples are to training images with how
    near images are that were not trained on. The image contains training images: their licence holds for it.
    """
    from ..images import check_ending, save
    from .making import origin, points_of

    check_ending(out)
    points = points_of(seeds)

    from ..checkpoint import Checkpoint
    from ..devices import resolve_device
    from ..neighbours import NeighbourSettings, find_neighbours
    from .counting import reporting

    settings = NeighbourSettings(k=k, num=num, source=source, held_out=other)
    snapshot = find_snapshot(model)
    where = resolve_device(device or "auto")
    with reporting() as reporter:
        found = find_neighbours(Checkpoint.open(snapshot), points, settings, device=where, reporter=reporter)
    description = "synthetic faces next to their nearest training images: contains training images"
    save(out, found.sheet(), {**origin(found.generator), "Description": description, "seeds": points.text})
    if as_json:
        print_json({"file": str(out), "snapshot": str(snapshot), **found.document()})
    else:
        print(out)
        _print_measure(found)


def _print_measure(found: "FoundNeighbours") -> None:
    from .console import table

    measures = [each.memorisation for each in found.comparisons if each.memorisation is not None]
    if not measures:
        return
    print(
        f"\n{found.num_samples:,} samples and {found.num_heldout:,} held-out images against "
        f"{len(found.training):,} training images:\n"
    )
    table("", ("", "if nothing is memorised", *(each.space.name for each in found.comparisons)), _rows(measures))
    print(f"\n{ANSWERS[measures[0].shows]}")


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
