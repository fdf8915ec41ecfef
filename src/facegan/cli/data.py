"""`facegan data`: look at images before training on them."""

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from ..errors import ConfigError
from .options import PLAIN, WHICH, DataSettings, Json, Resolution, Source, config_of, print_json

if TYPE_CHECKING:
    from ..data.check.findings import Report

SHOWN = 10  # of each kind of finding; --json has them all
MOST_IMAGES = 1024  # on a preview

data = typer.Typer(**PLAIN, help="Check images before training, and preview them.")

# What each kind of finding and of note is called, what it means, and what to do about it.
FINDINGS = {
    "unreadable": (
        "unreadable files",
        "Training skips them. Fetch them again, or let --quarantine DIR move them out.",
    ),
    "refused": (
        "images that the crop refuses",
        "Training skips them. Try another crop with --set data.crop=...; 'facegan data preview' shows several.",
    ),
    "tiny": (
        "images that are enlarged",
        "They teach G to draw blur. Train at a smaller --resolution, take a larger crop, or leave them out.",
    ),
    "duplicates": (
        "copies of a file",
        "A face that is there twice is learned twice. --quarantine DIR moves out all but the first of each group.",
    ),
    "same_pixels": (
        "other files with the same pixels",
        "The same image, written differently. Keep the first of each group, and remove the others by hand.",
    ),
    "near_duplicates": (
        "near duplicates",
        "Probably one photograph twice: re-encoded, resized or trimmed. Look at them before you remove any. "
        "--near 2 finds fewer and surer ones, --near -1 does not search.",
    ),
}
NOTES = {
    "greyscale": (
        "greyscale images",
        "Among coloured ones they teach G to draw some faces in grey. A wholly grey set trains with --set channels=1.",
    ),
    "rotated": (
        "images that lie on their side or head",
        "Nothing to do: they are turned upright, as their EXIF mark says.",
    ),
}


@data.command()
def check(
    source: Source,
    resolution: Resolution = None,
    settings: DataSettings = None,
    near: Annotated[
        int | None,
        typer.Option(
            min=-1,
            help="Bits of 64 in which the perceptual hashes of near duplicates may differ; 0: equal hashes only; "
            "-1: no search. By default 4, and no search among drawn or packed images.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when there are findings.")] = False,
    quarantine: Annotated[
        Path | None,
        typer.Option(help="Move unreadable files and all but the first of equal files out of a folder, to this one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read every image once, and say what there is and what is wrong.

    Findings are unreadable files, images that the crop refuses or that would be enlarged, equal files, other files
    with equal pixels, and near duplicates. Greyscale images and ones that EXIF turns are notes, which --strict
    passes.

    Nothing is changed unless --quarantine DIR is given. It deletes and overwrites nothing, and writes each move to
    DIR/quarantine.jsonl, from where to where.
    """
    config = config_of(source, resolution, settings, WHICH)

    from ..data.check.check import check as examine
    from ..data.check.duplicates import MOST_BITS
    from ..data.check.quarantine import Quarantine
    from ..data.open import open_source
    from .counting import counting

    if near is not None and near > MOST_BITS:
        raise ConfigError(f"--near {near}: give 0 to {MOST_BITS}, or -1 for no search; beyond that all faces are alike")
    pictures = open_source(config.data)
    away = Quarantine(pictures, config.data.source, quarantine) if quarantine is not None else None
    with counting("checking") as progress:
        report = examine(pictures, config.data, resolution=config.resolution, near=near, progress=progress)
    if away is not None:
        with counting("moving") as progress:
            report = away.move(report, progress=progress)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _show(report, quarantine)
    if strict and not report.clean:
        raise typer.Exit(1)


@data.command()
def preview(
    source: Source,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The grid; the ending chooses the format. The crops go to OUT-crops.")
    ] = Path("preview.png"),
    resolution: Resolution = None,
    settings: DataSettings = None,
    num: Annotated[
        int, typer.Option("-n", "--num", min=1, max=MOST_IMAGES, help="How many images, chosen at random.")
    ] = 64,
    rows: Annotated[int, typer.Option(min=1, max=64, help="Pictures of which the crops are compared.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="What the choice is drawn from.")] = 0,
) -> None:
    """Show what the network will see, and the named crops side by side.

    The grid has images of the chosen part of the source, cropped, resized and, with --set data.mirror=true, half of
    them mirrored. The second file has one image a row: whole, at the crop in force, and at each crop of published
    work that fits.
    """
    from ..images import check_ending, grid, save

    config = config_of(source, resolution, settings, (*WHICH, "data.filter", "data.draft", "data.mirror", "channels"))
    check_ending(out)

    from .. import __version__
    from ..data.check.preview import choose, crop_sheet, network_input
    from ..data.open import open_source
    from .console import console

    side, filter = config.resolution, config.data.filter
    pictures = open_source(config.data)
    chosen = choose(
        pictures, config.data, num=num, num_originals=rows, resolution=side, channels=config.channels, seed=seed
    )
    for name, reason in chosen.unusable:
        console().print(f"left out: {name}: {reason}", markup=False)
    about = {
        "Software": f"facegan {__version__}",
        "Description": f"{config.data.source}: crop {chosen.crop_name}, {filter}, {side}x{side}, seed {seed}",
    }
    seen = network_input(chosen, mirror=config.data.mirror, seed=seed)
    compared = crop_sheet(chosen, resolution=side, filter=filter)
    beside = out.with_stem(f"{out.stem}-crops")
    for path, picture in ((out, grid(seen)), (beside, compared)):
        save(path, picture, about)
        print(path)


def _show(report: "Report", quarantine: Path | None) -> None:
    """The report for people, at most 80 columns wide but for long names."""
    from ..data.check.quarantine import JOURNAL, removable
    from ..data.source import suffix_counts
    from .console import table

    size = f", {decimal(report.size_bytes)}" if report.size_bytes else ""
    print(f"{report.source}: {report.num_pictures:,} images{size}")
    if report.passed_over:
        print(f"skipped {suffix_counts(report.passed_over)}, which are not read")
    print(f"tried with crop {report.crop}, resized to {report.resolution}x{report.resolution}\n")
    counts = [
        ("size", report.sizes),
        ("width / height", report.shapes),
        ("format", report.formats),
        ("mode", report.modes),
    ]
    table("", ("what there is", "", "images"), [row for title, each in counts for row in _rows(title, each)])
    print()
    numbers = report.findings | {"greyscale": len(report.greyscale), "rotated": len(report.rotated)}
    shown_numbers = {key: f"{number:,}" for key, number in numbers.items()}
    if report.near is None:
        shown_numbers["near_duplicates"] = "not searched"
    kinds = [("finding", FINDINGS), ("note", NOTES)]
    lines = [(kind, words[0], shown_numbers[key]) for kind, group in kinds for key, words in group.items()]
    table("", ("kind", "", "images"), lines)
    for key, (title, advice) in (FINDINGS | NOTES).items():
        if numbers[key]:
            _show_kind(title, numbers[key], getattr(report, key), advice)
    if quarantine is not None:
        num_moved = len(report.quarantined)
        left = len(removable(report)) - num_moved
        stayed = f"; {left:,} that links lead to, or that have gone, stay" if left else ""
        listed = f", listed in {JOURNAL}" if num_moved else ""
        print(f"\n{quarantine}: {num_moved:,} files moved there{listed}{stayed}")
    print("\nNo findings." if report.clean else "\nEverything, name by name: --json.")


def _show_kind(title: str, number: int, listed: tuple[Any, ...], advice: str) -> None:
    from ..data.source import shown

    width = min(80, shutil.get_terminal_size((80, 24)).columns)
    print(f"\n{title[0].upper()}{title[1:]}: {number:,}")
    print(textwrap.fill(advice, width, initial_indent="  ", subsequent_indent="  "))
    sign = "~" if title == FINDINGS["near_duplicates"][0] else "="
    for each in listed[:SHOWN]:
        if isinstance(each, str):
            print(f"    {shown(each)}")
        elif isinstance(each, tuple):
            names = [shown(name) for name in each[:3]]
            more = f" and {len(each) - 3:,} more" if len(each) > 3 else ""
            line = "    " + f" {sign} ".join(names) + more
            print(line if len(line) <= width else "    " + f"\n      {sign} ".join(names) + more)
        else:
            print(f"    {shown(each.name)}: {each.reason}")
    if len(listed) > SHOWN:
        what = "groups" if isinstance(listed[0], tuple) else "images"
        print(f"    and {len(listed) - SHOWN:,} more {what}")


def _rows(title: str, counts: dict[str, int]) -> list[tuple[str, str, str]]:
    """The lines of a histogram: the most frequent, and the rest in one; shapes are few and stay in their order."""
    kept = list(counts.items())[:SHOWN]
    rest = list(counts.items())[SHOWN:]
    lines = [(words, number) for words, number in kept if words]
    if rest:
        lines.append((f"{len(rest):,} others", sum(number for _, number in rest)))
    return [(title if place == 0 else "", words, f"{number:,}") for place, (words, number) in enumerate(lines)]
