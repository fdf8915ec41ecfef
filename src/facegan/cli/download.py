"""`facegan download`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, FaceganError
from .options import Json, print_json

if TYPE_CHECKING:
    from ..downloads import Publication
    from ..downloads.places import Record


def download(
    name: Annotated[str | None, typer.Argument(help="A dataset's name.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where the dataset's folder is made; by default the cache. Remembered.")
    ] = None,
    copy: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE_OR_URL", help="A copy that you have: an archive, a folder, an address."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print the known datasets.")] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the dataset's licence without being asked.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a published dataset, or register your copy."""
    from ..data.published import publication, publications
    from .console import ByteProgress

    if listing:
        if any((name, root, copy, accept_licence)):
            raise ConfigError("download: --list stands alone, or with --json")
        _list(as_json)
        return
    if name is None:
        raise ConfigError(f"download: which dataset? there is: {', '.join(row.name for row in publications()[0])}")
    row = publication(name)
    if copy == "":
        raise ConfigError("download: --from names nothing; give a file, a folder or an address")
    local = copy is not None and not _is_address(copy)
    if local and root is not None:
        raise ConfigError("download: --root says where fetched files go, and a copy of your own stays where it is")
    try:
        with ByteProgress() as console:
            record = _bring(row, root, copy, accept_licence, console)
    except KeyboardInterrupt:
        if local:
            raise
        print(
            "facegan: stopped; what has arrived is kept, and the same command goes on from there",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
    if as_json:
        print_json({"name": name, "path": str(record.path), "num_images": record.num_images, "source": record.source})
    else:
        print(f"{name}: {record.path}; now: facegan train --data {name}")


def _bring(row: "Publication", root: Path | None, copy: str | None, accept_licence: bool, console: Any) -> "Record":
    """Fetch or register; says what it does on the console."""
    from ..data.pixels.squares import refuse_unreadable
    from ..data.sources.opening import open_path
    from ..downloads import fetch

    def look(path: Path) -> int:
        pictures = open_path(path, crop=row.crop)
        refuse_unreadable(pictures, str(path))
        return len(pictures.names)

    if copy is not None:
        if _is_address(copy):
            record = fetch.fetch_copy(row, copy, root=root, look=look, say=console.say, progress=console.show)
        else:
            record = fetch.take_copy(row, Path(copy).expanduser(), look=look, say=console.say)
        _accept(row, accept_licence, console, needed=False)
    elif here := fetch.present(row):
        if root is not None and here.path is not None and not here.path.is_relative_to(root.resolve()):
            raise ConfigError(f"--root {root}: {row.name} is here already, at {here.path}; move it and give --from")
        count = fetch.in_words(here.num_images, row) if here.num_images is not None else "not counted"
        console.say(f"{row.name}: already here, nothing is fetched ({count})")
        return here
    else:
        _accept(row, accept_licence, console, needed=True)
        record = fetch.download(row, root=root, look=look, say=console.say, progress=console.show)
    console.say(f"{row.name}: {fetch.in_words(record.num_images or 0, row)}")
    return record


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
    from ..downloads.places import Record
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
        print_json({row.name: _described(row, here[row.name]) for row in rows})
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
        ],
    )


def _described(row: "Publication", record: "Record") -> dict[str, Any]:
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
