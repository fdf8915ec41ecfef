"""`facegan pack`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from .options import WHICH, DataSettings, Json, Resolution, Source, config_of, print_json

SHOWN = 10  # skipped images; all are listed in the packed folder


def pack(
    source: Source,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A new folder; by default the cache that training looks in.")
    ] = None,
    resolution: Resolution = None,
    settings: DataSettings = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare images packed before with the source by content, not by size and time."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Decode, crop and resize images once and for all.

    Training maps packed images into memory, and packs by itself what is not packed yet. This does it beforehand, or
    into a folder to keep and to carry, which is a SOURCE like any other. --set data.draft=true decodes JPEG files at a
    reduced size: quicker, and other pixels, moved by half a pixel at most.
    """
    config = config_of(source, resolution, settings, (*WHICH, "data.filter", "data.draft", "channels"))

    from ..data.packed.load import pack_cached, pack_folder
    from ..data.source import shown, suffix_counts
    from .console import console
    from .counting import counting

    size = {"resolution": config.resolution, "channels": config.channels}
    with counting("packing") as progress:
        if out is None:
            packed, written = pack_cached(config.data, **size, verify=verify, progress=progress)
        else:
            packed, written = pack_folder(config.data, out, **size, verify=verify, progress=progress)
    if as_json:
        print_json({"path": str(packed.path), **packed.index.model_dump(mode="json"), "skipped": packed.skipped})
        return
    say = console().print
    if packed.index.passed_over:
        say(f"skipped {suffix_counts(packed.index.passed_over)}, which are not read")
    for name, reason in packed.skipped[:SHOWN]:
        say(f"skipped {shown(name)}: {reason}", markup=False)
    if packed.num_skipped > SHOWN:
        say(f"skipped {packed.num_skipped - SHOWN:,} more; {packed.path}/skipped.json names them")
    side, before = packed.index.resolution, "" if written else "; packed before"
    say(f"{source}: {len(packed):,} images, {side}x{side}, {decimal(packed.images.nbytes)}{before}", markup=False)
    print(packed.path)
