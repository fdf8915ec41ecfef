"""`facegan cache`: what the packed pictures take, and clearing what is of no use."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from .options import PLAIN, Json, print_json

if TYPE_CHECKING:
    from ..data.packed.cache import Entry

cache = typer.Typer(**PLAIN, help="List the packed pictures that training keeps, and prune them.")


@cache.command("list")
def list_(as_json: Json = False) -> None:
    """List the packed pictures: what they are, what they take, when they were last of use."""
    from ..data.packed.cache import entries
    from ..downloads import cache_root
    from .console import table

    found = entries()
    if as_json:
        print_json({"root": str(cache_root()), "entries": [entry.model_dump(mode="json") for entry in found]})
        return
    print(f"{cache_root()}: {_sets(len(found))}, {decimal(sum(entry.size_bytes for entry in found))}")
    if found:
        table("", ("set", "pictures", "size", "source", "made with", "unused", "state"), [_row(each) for each in found])


@cache.command()
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Remove every set.")] = False,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Remove also sets that were not used for so many days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the sets that no run can use any more.

    They were left by a killed packing, or their pictures have changed or gone, or another version made them. Training
    packs again whatever it needs; the pictures themselves and downloads are never touched.
    """
    from ..data.packed.cache import entries, remove

    chosen = [(entry, why) for entry in entries() if (why := _why(entry, everything, older_than))]
    for entry, _ in chosen:
        if not dry_run:
            remove(entry)
    size_bytes = sum(entry.size_bytes for entry, _ in chosen)
    if as_json:
        removed = [{"path": str(entry.path), "size_bytes": entry.size_bytes, "reason": why} for entry, why in chosen]
        print_json({"removed": [] if dry_run else removed, "would_remove": removed if dry_run else []})
        return
    for entry, why in chosen:
        print(f"{entry.path}: {why}")
    verb = "would be removed" if dry_run else "removed"
    print(f"{_sets(len(chosen))} {verb}, {decimal(size_bytes)}")


def _sets(number: int) -> str:
    return f"{number} packed set{'' if number == 1 else 's'}"


def _why(entry: "Entry", everything: bool, older_than: float | None) -> str | None:
    if entry.useless:
        return entry.useless
    if older_than is not None and entry.days_unused > older_than:
        return f"not used for {entry.days_unused:.0f} days"
    return "asked for" if everything else None


def _row(entry: "Entry") -> tuple[Any, ...]:
    days = f"{entry.days_unused:.0f} days"
    if entry.index is None:
        return entry.path.name[:12], "?", decimal(entry.size_bytes), "?", "?", days, entry.useless
    index = entry.index
    made = f"{index.resolution}x{index.resolution}x{index.channels}, {index.crop}, {index.filter}"
    made += ", draft" if index.draft else ""
    source = index.source if index.selection == "all" else f"{index.source} ({index.selection})"
    state = entry.useless or "ready"
    return entry.path.name[:12], f"{index.num_images:,}", decimal(entry.size_bytes), source, made, days, state
