"""Datasets and weights that others have published."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from .. import plugins
from ..errors import ConfigError, DataError
from ..messages import nearest
from ..reporter import SILENT, Reporter
from .options import PathLike

if TYPE_CHECKING:
    from ..downloads import Publication
    from ..downloads.registry import Record

WEIGHTS = "inception"


def download(
    name: Annotated[str | None, Argument(help="A dataset's name, or inception: the weights of FID.")] = None,
    *,
    root: Annotated[
        PathLike | None, Option(help="Where the dataset's folder is made; by default the cache. Remembered.")
    ] = None,
    copy: Annotated[
        str | None,
        Option("--from", metavar="FILE_OR_URL", help="A copy that you have: an archive, a folder, an address."),
    ] = None,
    accept_licence: Annotated[
        bool, Option("--accept-licence", help="Accept the dataset's licence without being asked.")
    ] = False,
    ask: Callable[[str], bool] | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Fetch a published dataset, or the weights of FID.

    A copy of a dataset stays where it is. A copy of the weights must equal the published ones, and is copied to the
    cache.

    Args:
        ask: Called with the licence, where it was not accepted yet; None refuses it.

    Returns:
        The local copy: `name`, `path`, and `num_images` and `source`, or `sha256`.
    """
    row = None if name == WEIGHTS else _find_dataset(name)
    if copy == "":
        raise ConfigError("download: --from names nothing; give a file, a folder or an address")
    if root is not None and row is None:
        raise ConfigError("download: --root is for datasets; weights go to the cache (FACEGAN_CACHE says where)")
    if root is not None and is_local(copy):
        raise ConfigError("download: --root says where fetched files go, and a copy of your own stays where it is")
    if row is None:
        return {"name": name, **_bring_weights(copy, reporter)}
    accept = partial(_accept_licence, row, accept_licence, ask, reporter=reporter)
    record = _bring_dataset(row, None if root is None else Path(root), copy, accept, reporter)
    return {"name": name, "path": str(record.path), "num_images": record.num_images, "source": record.source}


def is_local(copy: str | None) -> bool:
    """Whether a copy is a file or folder, and no address."""
    return copy is not None and "://" not in copy


def _find_dataset(name: str | None) -> "Publication":
    """Return a dataset to download; raises ConfigError or DataError where there is none of this name."""
    from ..data.published import publication, publications

    if name is None:
        known = [*(row.name for row in publications()[0]), WEIGHTS]
        raise ConfigError(f"download: what? there is: {', '.join(known)}")
    if name not in (known := [*plugins.names("dataset"), WEIGHTS]):
        raise DataError(f"{name}: no such dataset; {nearest(name, known)}")
    return publication(name)


def _bring_weights(copy: str | None, reporter: Reporter) -> dict[str, Any]:
    from ..downloads import inception_weights as weights

    row = weights.INCEPTION
    reporter.info(f"{row.name}: licence: {row.licence} ({row.licence_url})")
    if copy is not None and is_local(copy):
        path = weights.take_weights(Path(copy).expanduser())
    else:
        path = weights.fetch_weights(reporter=reporter, address=copy)
    reporter.info(f"{row.name}: the published weights, by their sha256")
    return {"path": str(path), "sha256": row.digest}


def _bring_dataset(
    row: "Publication", root: Path | None, copy: str | None, accept: Callable[[bool], None], reporter: Reporter
) -> "Record":
    """Fetch or register a dataset; `accept` shows its licence, given whether it is needed."""
    from ..data.open import check_decodable, open_path
    from ..downloads import download as engine

    def count_images(path: Path) -> int:
        images = open_path(path, crop=row.crop)
        check_decodable(images, str(path))
        return len(images.names)

    here = engine.present(row) if copy is None else None
    if here is not None:
        if root is not None and here.path is not None and not here.path.is_relative_to(root.resolve()):
            raise ConfigError(f"--root {root}: {row.name} is here already, at {here.path}; move it and give --from")
        count = engine.describe_count(here.num_images, row) if here.num_images is not None else "not counted"
        reporter.info(f"{row.name}: already here, nothing is fetched ({count})")
        return here
    if copy is None:
        accept(True)
        record = engine.download(row, root=root, count_images=count_images, reporter=reporter)
    elif is_local(copy):
        record = engine.take_copy(row, Path(copy).expanduser(), count_images=count_images, reporter=reporter)
    else:
        record = engine.fetch_copy(row, copy, root=root, count_images=count_images, reporter=reporter)
    if copy is not None:
        accept(False)
    reporter.info(f"{row.name}: {engine.describe_count(record.num_images or 0, row)}")
    return record


def _accept_licence(
    row: "Publication", accepted: bool, ask: Callable[[str], bool] | None, is_needed: bool, *, reporter: Reporter
) -> None:
    """Show the licence, and make sure that it is accepted, once for all calls, if it is needed."""
    from ..downloads import recall, remember

    text = f"{row.licence} ({row.licence_url})"
    before = recall(row.name).licence == row.licence
    must_ask = is_needed and not accepted and not before
    if must_ask and ask is None:
        raise ConfigError(f"{row.name}: its licence must be accepted once: {text}; if you do, add --accept-licence")
    reporter.info(f"{row.name}: licence: {text}")
    if must_ask and ask is not None and not ask(text):
        raise ConfigError(f"{row.name}: the licence was not accepted, and nothing was fetched")
    if (must_ask or accepted) and not before:
        remember(row.name, licence=row.licence)
