"""`facegan whois`."""

from typing import TYPE_CHECKING, Any

import typer

from ..api import provenance
from ..errors import SnapshotError
from .console import print_lines
from .options import Json, Options, command, run_verb

if TYPE_CHECKING:
    from ..api.provenance import ImageOrigin

EXAMPLES = """
    $ facegan whois grid.png
    command: facegan sample --seeds 0-63
    seeds: 0-63
    snapshot: 5f1d...
    made again with runs/celeba-1/snapshots/step-00025000.safetensors: the same to the pixel

    $ facegan whois grid.png runs/celeba-1 -o again.png --json
    {"image": "grid.png", "command": "facegan sample --seeds 0-63", ...}
    """


@command(provenance.whois, EXAMPLES)
def whois(options: Options, *, as_json: Json = False) -> None:
    """Show the image's origin; exit with 1 when the image cannot be made again, or differs."""
    found = run_verb(provenance.whois, options, _show, as_json=as_json)
    if found.remake["made_again"] is None and (options["out"] is not None or options["model"] is not None):
        raise SnapshotError(f"{found.image}: cannot be made again: {found.remake['why']}")
    if not found.remake["made_again"]:
        raise typer.Exit(1)


def _show(found: "ImageOrigin", _: Options) -> None:
    for key, value in found.metadata.items():
        print_lines(f"{key.lower()}: {value}")
    print_lines(_outcome(found.remake))


def _outcome(remake: dict[str, Any]) -> str:
    if remake["made_again"] is None:
        return f"not made again: {remake['why']}"
    where = f" -> {remake['file']}" if "file" in remake else ""
    made = f"made again with {remake['snapshot_file']}"
    if remake["made_again"]:
        return f"{made}: the same to the pixel{where}"
    return (
        f"{made}: {remake['differing']:,} of {remake['pixels']:,} pixels differ, by up to "
        f"{remake['largest_difference']} of 255 (it was edited, or made on another machine, device or torch){where}"
    )
