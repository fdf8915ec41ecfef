"""`facegan data`: check images before training on them."""

import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from ..api import data as api
from ..messages import counted
from .console import print_lines
from .options import PLAIN, Json, Options, command, run_verb, subcommand
from .tables import print_table

if TYPE_CHECKING:
    from ..data.check.check import Report

MAX_SHOWN = 10  # of each kind of finding; --json has them all

data = typer.Typer(**PLAIN, help="Check images before training, and preview them.")

# The name of each kind of finding and note, and what to do about it.
FINDINGS = {
    "unreadable": (
        "unreadable files",
        "Training skips them. Convert or fetch them again, or let --quarantine DIR move them out.",
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
        "Among coloured ones they teach G to draw some faces in grey. An all-grey set trains with --set channels=1.",
    ),
    "rotated": (
        "images on their side or upside down",
        "Nothing to do: they are turned upright, as their EXIF orientation says.",
    ),
    "unended": (
        "JPEG files without an end marker",
        "Nothing to do: all their pixels are there. Their copying may have stopped a moment too early.",
    ),
}


CHECK_EXAMPLES = """
    $ facegan data check photos/
    photos/: 1,200 images, 310.2 MB
    ...
    No findings.

    $ facegan data check photos/ --quarantine rejected --strict
    """
PREVIEW_EXAMPLES = """
    $ facegan data preview photos/ --set data.crop=center:400
    preview.png
    preview-crops.png
    """


@subcommand(data, "check")
@command(api.check_data, CHECK_EXAMPLES)
def check(
    options: Options,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when there are findings.")] = False,
    as_json: Json = False,
) -> None:
    """Print the report."""
    report = run_verb(api.check_data, options, _show, lambda found, _: found.model_dump(mode="json"), as_json=as_json)
    if strict and not report.clean:
        raise typer.Exit(1)


@subcommand(data, "preview")
@command(api.preview_data, PREVIEW_EXAMPLES)
def preview(options: Options) -> None:
    """Print the files."""
    run_verb(api.preview_data, options, as_json=False)


def _show(report: "Report", options: Options) -> None:
    """Print a report for people, at most 80 columns wide except for long names."""
    from ..data.check.quarantine import JOURNAL, removable
    from ..data.rules import describe_left_out

    size = f", {decimal(report.size_bytes)}" if report.size_bytes else ""
    print_lines(f"{report.source}: {counted(report.num_pictures, 'image')}{size}")
    if report.passed_over:
        print_lines(describe_left_out(report.passed_over))
    print_lines(f"tried with crop {report.crop}, resized to {report.resolution}x{report.resolution}", "")
    counts = {
        "size": report.sizes, "width / height": report.shapes, "format": report.formats, "mode": report.modes,
    }  # fmt: skip
    rows = [row for title, each in counts.items() for row in _rows(title, each)]
    print_table("", ("property", "", "images"), rows)
    print_lines()
    numbers = report.findings | {kind: len(getattr(report, kind)) for kind in NOTES}
    shown = {key: f"{number:,}" for key, number in numbers.items()}
    if report.near is None:
        shown["near_duplicates"] = "not searched"
    kinds = [
        (kind, key, words) for kind, group in (("finding", FINDINGS), ("note", NOTES)) for key, words in group.items()
    ]
    print_table("", ("kind", "", "images"), [(kind, words[0], shown[key]) for kind, key, words in kinds])
    for _, key, (title, advice) in kinds:
        if numbers[key]:
            _print_kind(title, numbers[key], getattr(report, key), advice)
    if options["quarantine"] is not None:
        num_moved = len(report.quarantined)
        left = len(removable(report)) - num_moved
        stayed = f"; {left:,} that links lead to, or that have gone, stay" if left else ""
        listed = f", listed in {JOURNAL}" if num_moved else ""
        print_lines("", f"{options['quarantine']}: {counted(num_moved, 'file')} moved there{listed}{stayed}")
    print_lines("", "No findings." if report.clean else "Everything, name by name: --json.")


def _print_kind(title: str, number: int, listed: tuple[Any, ...], advice: str) -> None:
    from ..data.source import shown

    width = min(80, shutil.get_terminal_size((80, 24)).columns)
    print_lines("", f"{title[0].upper()}{title[1:]}: {number:,}")
    print_lines(*textwrap.wrap(advice, width, initial_indent="  ", subsequent_indent="  "))
    sign = "~" if title == FINDINGS["near_duplicates"][0] else "="
    for each in listed[:MAX_SHOWN]:
        if isinstance(each, tuple):
            more = f" and {len(each) - 3:,} more" if len(each) > 3 else ""
            line = f"    {f' {sign} '.join(map(shown, each[:3]))}{more}"
            print_lines(*(line if len(line) <= width else line.replace(f" {sign} ", f"\n      {sign} ")).split("\n"))
        else:
            print_lines(f"    {shown(each)}" if isinstance(each, str) else f"    {shown(each.name)}: {each.reason}")
    if len(listed) > MAX_SHOWN:
        print_lines(
            f"    and {len(listed) - MAX_SHOWN:,} more {'groups' if isinstance(listed[0], tuple) else 'images'}"
        )


def _rows(title: str, counts: dict[str, int]) -> list[tuple[str, str, str]]:
    """Return the lines of a histogram: the most frequent, and the rest in one; the few shapes keep their order."""
    numbers = list(counts.items())
    lines = [each for each in numbers[:MAX_SHOWN] if each[0]]
    if rest := numbers[MAX_SHOWN:]:
        lines.append((f"{len(rest):,} others", sum(number for _, number in rest)))
    return [(title if place == 0 else "", words, f"{number:,}") for place, (words, number) in enumerate(lines)]
