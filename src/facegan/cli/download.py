"""`facegan download`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from ..api import downloads
from ..errors import ConfigError, FaceganError
from .console import ConsoleReporter
from .options import Json, command, print_json
from .tables import print_table

if TYPE_CHECKING:
    from ..downloads import Publication
    from ..downloads.registry import Record

EXAMPLES = """
    $ facegan download celeba --accept-licence
    celeba: ~/.cache/facegan/datasets/celeba; now: facegan train --data celeba

    $ facegan download lfw --from ~/lfw.tgz
    lfw: ~/lfw.tgz; now: facegan train --data lfw
    """


@command(downloads.download, EXAMPLES)
def download(
    options: dict[str, Any],
    *,
    listing: Annotated[bool, typer.Option("--list", help="Print what can be downloaded, and what is here.")] = False,
    as_json: Json = False,
) -> None:
    """Print where the copy is, or what can be downloaded."""
    if listing:
        if any(options.values()):
            raise ConfigError("download: --list is given alone, or with --json")
        _list(as_json)
        return
    ask = _ask if sys.stdin.isatty() and sys.stderr.isatty() else None
    try:
        with ConsoleReporter() as reporter:
            found = downloads.download(**options, ask=ask, reporter=reporter)
    except KeyboardInterrupt:
        if downloads.is_local(options["copy"]):
            raise
        print("facegan: stopped; what has arrived is kept, and the same command continues", file=sys.stderr)
        raise SystemExit(130) from None
    if as_json:
        print_json(found)
    else:
        then = "facegan evaluate --metrics fid" if "sha256" in found else f"facegan train --data {found['name']}"
        print(f"{found['name']}: {found['path']}; now: {then}")


def _ask(_: str) -> bool:
    print("Do you accept it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _list(as_json: bool) -> None:
    from ..data.published import publications
    from ..downloads import locate, recall
    from ..downloads.inception_weights import INCEPTION, find_weights
    from ..downloads.registry import Record

    rows, complaints = publications()
    here: dict[str, Record] = {}
    for row in rows:
        try:
            here[row.name] = recall(row.name) if locate(row.name) else Record()
        except FaceganError as error:
            here[row.name] = Record()
            complaints.append(str(error))
    with ConsoleReporter() as reporter:
        for complaint in complaints:
            reporter.warning(complaint)
    if as_json:
        print_json({row.name: _describe(row, here[row.name]) for row in rows} | _describe_weights())
        return
    table = [
        (row.name, row.title, f"{row.num_images:,}", decimal(row.size_bytes), row.crop, row.licence,
         _where(row, here[row.name]))
        for row in rows
    ]  # fmt: skip
    weights, path = INCEPTION, str(find_weights() or "no")
    table.append((weights.name, weights.title, "-", decimal(weights.size_bytes), "-", weights.licence, path))
    print_table("", ("name", "what", "images", "size", "crop", "licence", "here"), table)


def _describe(row: "Publication", record: "Record") -> dict[str, Any]:
    return {
        **row.model_dump(exclude={"name", "sources", "copies"}),
        "sources": [source.title for source in row.sources],
        "path": str(record.path) if record.path else None,
        "num_images_here": record.num_images,
    }


def _describe_weights() -> dict[str, Any]:
    from ..downloads.inception_weights import INCEPTION, find_weights

    path = find_weights()
    about = INCEPTION.model_dump(include={"title", "size_bytes", "licence", "licence_url"})
    about |= {"sha256": INCEPTION.digest, "sources": list(INCEPTION.mirrors), "path": str(path) if path else None}
    return {INCEPTION.name: about}


def _where(row: "Publication", record: "Record") -> str:
    if record.path is None:
        return "no"
    part = record.num_images is not None and record.num_images < row.num_images
    return f"{record.path} ({record.num_images:,} of them)" if part else str(record.path)
