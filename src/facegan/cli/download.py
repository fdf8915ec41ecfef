"""`facegan download`."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from ..api import downloads
from ..errors import ConfigError, FaceganError
from .console import ConsoleReporter, print_lines
from .options import Json, Options, command, print_json, run_verb
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
    options: Options,
    *,
    listing: Annotated[bool, typer.Option("--list", help="List datasets, weights and their local copies.")] = False,
    as_json: Json = False,
) -> None:
    """Print the path of the copy, or the list of datasets."""
    if listing:
        if any(options.values()):
            raise ConfigError("download: --list is given alone, or with --json")
        _list(as_json)
        return
    ask = _ask if sys.stdin.isatty() and sys.stderr.isatty() else None
    try:
        run_verb(partial(downloads.download, ask=ask), options, _show, as_json=as_json)
    except KeyboardInterrupt:
        if downloads.is_local(options["copy"]):
            raise
        message = "facegan: stopped; the bytes received are kept, and the same command continues"
        print_lines(message, stream=sys.stderr)
        raise SystemExit(130) from None


def _show(found: dict[str, Any], _: Options) -> None:
    then = "facegan evaluate --metrics fid" if "sha256" in found else f"facegan train --data {found['name']}"
    print_lines(f"{found['name']}: {found['path']}; now: {then}")


def _ask(_: str) -> bool:
    sys.stderr.write("Do you accept it? [y/N] ")
    sys.stderr.flush()
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
    path = find_weights()
    if as_json:
        about = INCEPTION.model_dump(include={"title", "size_bytes", "licence", "licence_url"})
        about |= {"sha256": INCEPTION.digest, "sources": list(INCEPTION.mirrors), "path": str(path) if path else None}
        print_json({**{row.name: _describe(row, here[row.name]) for row in rows}, INCEPTION.name: about})
        return
    table = [
        (row.name, row.title, f"{row.num_images:,}", decimal(row.size_bytes), row.crop, row.licence,
         _where(row, here[row.name]))
        for row in rows
    ]  # fmt: skip
    size = decimal(INCEPTION.size_bytes)
    table.append((INCEPTION.name, INCEPTION.title, "-", size, "-", INCEPTION.licence, str(path or "no")))
    print_table("", ("name", "what", "images", "size", "crop", "licence", "here"), table)


def _describe(row: "Publication", record: "Record") -> dict[str, Any]:
    return {
        **row.model_dump(exclude={"name", "sources", "copies"}),
        "sources": [source.title for source in row.sources],
        "path": str(record.path) if record.path else None,
        "num_images_here": record.num_images,
    }


def _where(row: "Publication", record: "Record") -> str:
    if record.path is None:
        return "no"
    part = record.num_images is not None and record.num_images < row.num_images
    return f"{record.path} ({record.num_images:,} of them)" if part else str(record.path)
