"""`facegan neighbours`."""

from typing import TYPE_CHECKING, Any

from ..api import inspection
from .console import print_lines
from .options import Options, verb_command
from .tables import print_table

if TYPE_CHECKING:
    from ..neighbours import FoundNeighbours, Memorisation, Share

# By the distances in pixels: D has seen the training images, and its features may tell them from others.
CONCLUSIONS = {
    True: "In part at least, it memorises: in pixels, more samples than by chance are nearest to a training image.",
    False: "No sign of memorising: in pixels, samples are as near to images that were not trained on.",
    None: "Too few samples or held-out images to decide: in pixels, chance alone explains any share.",
}
EXAMPLES = """
    $ facegan neighbours runs/celeba-1
    neighbours.png

    2,000 samples and 2,000 held-out images against 162,770 training images:
    ...
    No sign of memorising: in pixels, samples are as near to images that were not trained on.

    $ facegan neighbours runs/celeba-1 --seeds 7,42 --nearest 5 -n 0 -o two.png
    two.png
    """


def _document(found: "FoundNeighbours", options: Options) -> dict[str, Any]:
    return {"file": str(options["out"]), "snapshot": str(found.generator.origin.path), **found.document()}


def _show(found: "FoundNeighbours", options: Options) -> None:
    print_lines(options["out"])
    measures = [each.memorisation for each in found.comparisons if each.memorisation is not None]
    if not measures:
        return
    samples = f"{found.num_samples:,} samples and {found.num_heldout:,} held-out images"
    print_lines("", f"{samples} against {len(found.training):,} training images:", "")
    heads = ("", "if nothing is memorised", *(each.space.name for each in found.comparisons))
    print_table("", heads, _rows(measures))
    print_lines("", CONCLUSIONS[measures[0].shows])


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


neighbours = verb_command(inspection.neighbours, EXAMPLES, _show, _document)
