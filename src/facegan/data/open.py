"""From the words that name a source of images to the opened source."""

import os
from pathlib import Path

from .. import plugins
from ..config import DataConfig, build
from ..errors import ConfigError, DataError
from ..messages import nearest
from .folder import FolderSource
from .packed.packed_images import PackedSource, is_packed
from .source import ImageSource
from .sources.archives import open_archive
from .sources.parquet import ParquetSource
from .sources.shards import is_parquet

__all__ = ["FolderSource", "ImageSource", "absolute_source", "open_archive", "open_source"]

_FORMS = "give a folder of images, a .zip, .tar, .tgz or .parquet, 'drawn', or a dataset's name"


def open_source(data: DataConfig) -> ImageSource:
    """Open what `data.source` names: a dataset, else an existing path.

    A folder that has a dataset's name is given as a path, for instance ./drawn.

    Raises:
        DataError: There is nothing of that name, it is not downloaded yet, it holds no images, or it is unsafe.
        ConfigError: `data.options` has a setting that the dataset does not know, or that cannot be.
    """
    text = data.source
    if text in plugins.names("dataset"):
        opened: ImageSource = build(plugins.find("dataset", text), data.options, where="data.options").open()
        return opened
    path = _existing(text)
    if path is not None:
        _refuse_options(data)
        return open_path(path, where=text)
    if _is_path(text):
        raise DataError(f"{text}: no such folder or file; {_FORMS}")
    raise DataError(
        f"{text}: no such dataset, folder or file; {nearest(text, plugins.names('dataset'))} "
        f"(a folder is named by its path, for instance ./{text})"
    )


def absolute_source(text: str) -> str:
    """The same source, named so that it is found from any folder: a relative path is made absolute."""
    if text in plugins.names("dataset"):
        return text
    path = _existing(text)
    return str(path.absolute()) if path else text


def open_path(path: Path, *, crop: str = "auto", where: str | None = None) -> ImageSource:
    """Open a folder, a packed folder, an archive or parquet files.

    Args:
        path: An existing path.
        crop: What crop="auto" means here.
        where: How messages name it; None: by its path.

    Raises:
        DataError: It is a file of another kind, holds no images, or is unsafe.
    """
    if path.is_dir() and is_packed(path):
        return PackedSource(path, where=where)
    if is_parquet(path):
        return ParquetSource(path, crop=crop, where=where)
    if not path.is_dir():
        return open_archive(path, crop=crop, where=where)
    return FolderSource(path, crop=crop, where=where)


def _existing(text: str) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path if text and path.exists() else None
    except RuntimeError:  # ~somebody who is unknown
        return None
    except OSError as error:
        raise DataError(f"{text}: cannot be read ({error.strerror or error})") from None


def _is_path(text: str) -> bool:
    return any(sign in text for sign in {os.sep, "/", "~"}) or Path(text).suffix != ""


def _refuse_options(data: DataConfig) -> None:
    if data.options:
        name = next(iter(data.options))
        raise ConfigError(
            f"config: data.options.{name} is set, but {data.source} has no options; they belong to dataset plugins"
        )
