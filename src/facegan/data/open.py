"""Open the source of images that `data.source` names."""

import os
from pathlib import Path

from .. import plugins
from ..config import DataConfig, build
from ..errors import ConfigError, DataError
from ..images.decode import READING, quiet_pillow
from ..messages import counted, local_path, nearest, os_reason, portable_path
from .archive import FORMS, open_archive
from .folder import FolderSource
from .image.crop import Crop, parse_crop
from .image.resize import to_image
from .packed.packed_images import PackedSource, is_packed
from .parquet import ParquetSource, is_parquet
from .source import ImageSource, shown

_NUM_TRIED = 16  # images of a source that nobody has used yet


def open_source(data: DataConfig) -> ImageSource:
    """Open the dataset that `data.source` names, else the path.

    Write a folder that has a dataset's name as a path, for instance ./drawn.

    Raises:
        DataError: Nothing has that name, it is not downloaded yet, it holds no images, or it is unsafe.
        ConfigError: `data.options` has a setting that the dataset does not know, or an invalid value.
    """
    text = data.source
    if not text:
        raise DataError(f"no source is given; give {FORMS}, 'drawn', or a dataset's name")
    if text in plugins.names("dataset"):
        opened: ImageSource = build(plugins.find("dataset", text), data.options, where="data.options").open()
        return opened
    path = _existing(text)
    if path is not None:
        if data.options:
            raise ConfigError(
                f"config: data.options.{next(iter(data.options))} is set, but {text} has no options; "
                "they belong to dataset plugins"
            )
        return open_path(path, where=text, reading=data.reading)
    if any(sign in text for sign in {os.sep, "/", "~"}) or Path(text).suffix:
        raise DataError(f"{text}: no such folder or file; give {FORMS}, 'drawn', or a dataset's name")
    raise DataError(
        f"{text}: no such dataset, folder or file; {nearest(text, plugins.names('dataset'))} "
        f"(a folder is named by its path, for instance ./{text})"
    )


def absolute_source(text: str) -> str:
    """Return the same source, valid from any folder: an existing relative path is made absolute."""
    path = None if text in plugins.names("dataset") else _existing(text)
    return portable_path(path.absolute()) if path else text


def open_path(path: Path, *, crop: str = "auto", where: str | None = None, reading: int = READING) -> ImageSource:
    """Open a folder, a packed folder, an archive or parquet files.

    Args:
        path: An existing path.
        crop: What crop="auto" means here.
        where: The path's name in messages; None: the path.
        reading: The version of the reading rules, as `data.reading`.

    Raises:
        DataError: It is a file of another kind, holds no images, or is unsafe.
    """
    if path.is_dir() and is_packed(path):
        return PackedSource(path, where=where)
    if is_parquet(path, reading):
        return ParquetSource(path, crop=crop, where=where, reading=reading)
    kind = FolderSource if path.is_dir() else open_archive
    return kind(path, crop=crop, where=where, reading=reading)


def _existing(text: str) -> Path | None:
    path = Path(os.path.expanduser(local_path(text)))  # noqa: PTH111  # which leaves the ~name of an unknown user as it is
    try:
        return path if text and path.exists() else None
    except OSError as error:
        raise DataError(f"{text}: cannot be read ({os_reason(error)})") from None


def applied_crop(source: ImageSource, data: DataConfig) -> tuple[str, Crop]:
    """Return the crop that is used as text and as a region; packed images are already cropped, so theirs is "none"."""
    text = source.crop if data.crop == "auto" else data.crop
    return text, parse_crop("none" if isinstance(source, PackedSource) else text)


def check_decodable(source: ImageSource, where: str) -> None:
    """Check that one of the first few images can be decoded."""
    names = source.names[:_NUM_TRIED]
    name, error = names[0], DataError("the source did not deliver it")
    with quiet_pillow():
        for name, content in source.read(names, 64):  # noqa: B007
            try:
                to_image(content, 3)
                return
            except DataError as failure:
                error = failure
    raise DataError(f"{where}: none of the first {counted(len(names), 'image')} can be used; {shown(name)}: {error}")
