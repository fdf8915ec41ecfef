"""`facegan download`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Json, print_json


def download(
    name: Annotated[str | None, typer.Argument(help="A dataset's name.")] = None,
    copy: Annotated[Path | None, typer.Option("--from", help="A copy that you have: an archive or a folder.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print the known datasets.")] = False,
    as_json: Json = False,
) -> None:
    """Make a named dataset known, from a copy that you have."""
    from ..downloads import KNOWN, register
    from ..errors import ConfigError, DataError
    from ..plugins import nearest
    from .console import table

    if listing:
        if as_json:
            print_json({key: vars(dataset) for key, dataset in KNOWN.items()})
            return
        rows = [(key, each.title, f"{each.num_images:,}", each.crop, each.licence) for key, each in KNOWN.items()]
        table("", ("name", "what", "pictures", "crop", "licence"), rows)
        return
    if name is None:
        raise ConfigError(f"download: which dataset? there is: {', '.join(KNOWN)}")
    if name not in KNOWN:
        raise DataError(f"{name}: no such dataset; {nearest(name, list(KNOWN))}")
    dataset = KNOWN[name]
    if copy is None:
        raise DataError(
            f"{name}: facegan cannot fetch it by itself yet; get {dataset.by_hand} "
            f"(licence: {dataset.licence}), then: facegan download {name} --from THE_COPY"
        )
    register(name, copy)
    print(f"{name}: {copy.resolve()}; now: facegan train --data {name}")
