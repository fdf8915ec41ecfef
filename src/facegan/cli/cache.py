"""`facegan cache`: list and prune packed images and other files that can be computed again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from ..messages import counted
from .console import print_lines
from .options import PLAIN, Json, examples, print_json, subcommand
from .tables import print_table

if TYPE_CHECKING:
    from ..data.packed.load import PackedEntry
    from ..storage.cache import CacheEntry

cache = typer.Typer(**PLAIN, help="List and prune packed images and other cached files.")


@subcommand(cache, "list")
@examples("""
    $ facegan cache list
    ~/.cache/facegan: 1 packed set and 2 files, 2.5 GB
    set           images   size    source  made with                     unused  state
    3f2a91c07d11  202,599  2.5 GB  celeba  64x64x3, center:178, bicubic  0 days  ready
    ...
    """)
def list_(as_json: Json = False) -> None:
    """List the packed images: source, size, and when they were last used.

    Below them are the files that other commands keep: features of real images (evaluate), classifiers of attributes
    (directions) and projected reference faces (project).
    """
    from ..data.packed.load import entries
    from ..storage.cache import cache_root, computed_files

    found, files = entries(), computed_files()
    if as_json:
        listed: dict[str, Sequence[CacheEntry]] = {"entries": found, "files": files}
        documents = {key: [each.model_dump(mode="json") for each in group] for key, group in listed.items()}
        print_json({"root": str(cache_root()), **documents})
        return
    print_lines(f"{cache_root()}: {_counted(found, files)}, {_size([*found, *files])}")
    if found:
        heads = ("set", "images", "size", "source", "made with", "unused", "state")
        print_table("", heads, [_row(each) for each in found])
    if files:
        rows = [(f"{each.kind}/{each.path.name[:28]}", _size([each]), *_state(each)) for each in files]
        print_table("", ("file", "size", "unused", "state"), rows)


@subcommand(cache, "prune")
@examples("""
    $ facegan cache prune --older-than 30 --dry-run
    ~/.cache/facegan/packed/3f2a91c07d11...: not used for 41 days
    1 packed set would be removed, 2.5 GB

    $ facegan cache prune
    0 packed sets removed, 0 bytes
    """)
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Remove every set and file.")] = False,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Also remove sets and files unused for this many days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the sets that no run can use any more.

    These are sets that an interrupted packing left, whose images have changed or gone, or that another version made.
    Training packs its images again, and evaluate, directions and project compute their files again; your images and
    downloads are never touched.
    """
    from ..data.packed.load import entries
    from ..storage.cache import computed_files, remove

    sets = [(entry, why) for entry in entries() if (why := _why(entry, everything, older_than))]
    files = [(each, why) for each in computed_files() if (why := _why(each, everything, older_than))]
    chosen: list[tuple[CacheEntry, str]] = [*sets, *files]
    if not dry_run:
        for entry, _ in chosen:
            remove(entry.path)
    if as_json:
        removed = [{"path": str(each.path), "size_bytes": each.size_bytes, "reason": why} for each, why in chosen]
        print_json({"removed": [] if dry_run else removed, "would_remove": removed if dry_run else []})
        return
    for each, why in chosen:
        print_lines(f"{each.path}: {why}")
    verb = "would be removed" if dry_run else "removed"
    print_lines(f"{_counted(sets, files)} {verb}, {_size([each for each, _ in chosen])}")


def _counted(sets: Sequence[object], files: Sequence[object]) -> str:
    """Return `2 packed sets and 1 file`; files only where there are any."""
    words = counted(len(sets), "packed set")
    return f"{words} and {counted(len(files), 'file')}" if files else words


def _why(entry: "CacheEntry", everything: bool, older_than: float | None) -> str | None:
    if entry.useless:
        return entry.useless
    if older_than is not None and entry.days_unused > older_than:
        return f"not used for {entry.days_unused:.0f} days"
    return "asked for" if everything else None


def _size(entries: "Sequence[CacheEntry]") -> str:
    return decimal(sum(each.size_bytes for each in entries))


def _state(entry: "CacheEntry") -> tuple[str, str]:
    return f"{entry.days_unused:.0f} days", entry.useless or "ready"


def _row(entry: "PackedEntry") -> tuple[str, ...]:
    index, name = entry.index, entry.path.name[:12]
    if index is None:
        return name, "?", _size([entry]), "?", "?", *_state(entry)
    made = f"{index.resolution}x{index.resolution}x{index.channels}, {index.crop}, {index.filter}"
    made += ", draft" if index.draft else ""
    source = index.source if index.selection == "all" else f"{index.source} ({index.selection})"
    return name, f"{index.num_images:,}", _size([entry]), source, made, *_state(entry)
