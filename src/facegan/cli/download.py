"""`facegan download`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import plugins
from ..errors import ConfigError, DataError, FaceganError
from ..messages import nearest
from ..reporter import Callbacks, Reporter
from .options import Json, print_json

if TYPE_CHECKING:
    from ..downloads import Publication
    from ..downloads.registry import Record


def download(
    name: Annotated[str | None, typer.Argument(help="A dataset's name, or inception: the weights of FID.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where the dataset's folder is made; by default the cache. Remembered.")
    ] = None,
    copy: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE_OR_URL", help="A copy that you have: an archive, a folder, an address."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print what can be downloaded, and what is here.")] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the dataset's licence without being asked.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a published dataset, or the weights of FID.

    A copy of a dataset stays where it is. One of the weights must be what was published, and is copied to the cache.
    """
    from ..downloads.inception_weights import INCEPTION
    from .console import ByteProgress

    if listing:
        if any((name, root, copy, accept_licence)):
            raise ConfigError("download: --list stands alone, or with --json")
        _list(as_json)
        return
    row = None if name == INCEPTION.name else _dataset(name)
    if copy == "":
        raise ConfigError("download: --from names nothing; give a file, a folder or an address")
    local = copy is not None and not _is_address(copy)
    if root is not None and row is None:
        raise ConfigError("download: --root is for datasets; weights go to the cache (FACEGAN_CACHE says where)")
    if local and root is not None:
        raise ConfigError("download: --root says where fetched files go, and a copy of your own stays where it is")
    try:
        with ByteProgress() as console:
            if row:
                record = _bring(row, root, copy, accept_licence, console)
                found = {"path": str(record.path), "num_images": record.num_images, "source": record.source}
            else:
                found = _bring_weights(copy, console)
    except KeyboardInterrupt:
        if local:
            raise
        print(
            "facegan: stopped; what has arrived is kept, and the same command goes on from there",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
    if as_json:
        print_json({"name": name, **found})
    else:
        then = f"facegan train --data {name}" if row else "facegan evaluate --metrics fid"
        print(f"{name}: {found['path']}; now: {then}")


def _dataset(name: str | None) -> "Publication":
    """The row of the dataset that is asked for.

    Raises:
        ConfigError: None is, or it is one that needs no download.
        DataError: There is none of this name.
    """
    from ..data.published import publication, publications
    from ..downloads.inception_weights import INCEPTION

    if name is None:
        known = [*(row.name for row in publications()[0]), INCEPTION.name]
        raise ConfigError(f"download: what? there is: {', '.join(known)}")
    if name not in (known := [*plugins.names("dataset"), INCEPTION.name]):
        raise DataError(f"{name}: no such dataset; {nearest(name, known)}")
    return publication(name)


def _bring_weights(copy: str | None, console: Any) -> dict[str, Any]:
    """Fetch or copy; says what it does on the console."""
    from ..downloads import inception_weights as weights

    row = weights.INCEPTION
    console.say(f"{row.name}: licence: {row.licence} ({row.licence_url})")
    if copy is None or _is_address(copy):
        path = weights.fetch_weights(reporter=_reporter(console), address=copy)
    else:
        path = weights.take_weights(Path(copy).expanduser(), reporter=_reporter(console))
    console.say(f"{row.name}: the published weights, by their sha256")
    return {"path": str(path), "sha256": row.digest}


def _bring(row: "Publication", root: Path | None, copy: str | None, accept_licence: bool, console: Any) -> "Record":
    """Fetch or register; says what it does on the console."""
    from ..data.open import check_decodable, open_path
    from ..downloads import download as fetch

    def count_images(path: Path) -> int:
        pictures = open_path(path, crop=row.crop)
        check_decodable(pictures, str(path))
        return len(pictures.names)

    reporter = _reporter(console)
    if copy is not None:
        if _is_address(copy):
            record = fetch.fetch_copy(row, copy, root=root, count_images=count_images, reporter=reporter)
        else:
            record = fetch.take_copy(row, Path(copy).expanduser(), count_images=count_images, reporter=reporter)
        _accept(row, accept_licence, console, needed=False)
    elif here := fetch.present(row):
        if root is not None and here.path is not None and not here.path.is_relative_to(root.resolve()):
            raise ConfigError(f"--root {root}: {row.name} is here already, at {here.path}; move it and give --from")
        count = fetch.describe_count(here.num_images, row) if here.num_images is not None else "not counted"
        console.say(f"{row.name}: already here, nothing is fetched ({count})")
        return here
    else:
        _accept(row, accept_licence, console, needed=True)
        record = fetch.download(row, root=root, count_images=count_images, reporter=reporter)
    console.say(f"{row.name}: {fetch.describe_count(record.num_images or 0, row)}")
    return record


def _reporter(console: Any) -> Reporter:
    return Callbacks(line=console.say, transfer=console.show)


def _is_address(copy: str) -> bool:
    return "://" in copy


def _accept(row: "Publication", accepted: bool, console: Any, *, needed: bool) -> None:
    """Show the licence, and see to it that it has been accepted, once for all calls.

    Raises:
        ConfigError: It was not, and is needed.
    """
    from ..downloads import recall, remember

    words = f"{row.licence} ({row.licence_url})"
    before = recall(row.name).licence == row.licence
    ask = needed and not accepted and not before
    if ask and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(f"{row.name}: its licence must be accepted once: {words}; if you do, add --accept-licence")
    console.say(f"{row.name}: licence: {words}")
    if ask:
        print("Do you accept it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ConfigError(f"{row.name}: the licence was not accepted, and nothing was fetched")
    if (ask or accepted) and not before:
        remember(row.name, licence=row.licence)


def _list(as_json: bool) -> None:
    from rich.filesize import decimal

    from ..data.published import publications
    from ..downloads import locate, recall
    from ..downloads.inception_weights import INCEPTION, find_weights
    from ..downloads.registry import Record
    from .console import console, table

    rows, complaints = publications()
    here: dict[str, Record] = {}
    for row in rows:
        try:
            here[row.name] = recall(row.name) if locate(row.name) else Record()
        except FaceganError as error:
            here[row.name] = Record()
            complaints.append(str(error))
    for complaint in complaints:
        console().print(complaint, markup=False)
    if as_json:
        print_json({row.name: _described(row, here[row.name]) for row in rows} | _weights_described())
        return
    table(
        "",
        ("name", "what", "pictures", "size", "crop", "licence", "here"),
        [
            (
                row.name,
                row.title,
                f"{row.num_images:,}",
                decimal(row.size_bytes),
                row.crop,
                row.licence,
                _where(row, here[row.name]),
            )
            for row in rows
        ]
        + [
            (
                INCEPTION.name,
                INCEPTION.title,
                "-",
                decimal(INCEPTION.size_bytes),
                "-",
                INCEPTION.licence,
                find_weights() or "no",
            )
        ],
    )


def _described(row: "Publication", record: "Record") -> dict[str, Any]:
    return {
        **row.model_dump(exclude={"name", "sources", "copies"}),
        "sources": [source.title for source in row.sources],
        "path": str(record.path) if record.path else None,
        "num_images_here": record.num_images,
    }


def _weights_described() -> dict[str, Any]:
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
