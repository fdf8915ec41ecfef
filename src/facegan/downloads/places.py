"""Where copies of published datasets lie on this machine, and what is remembered of each."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import DataError
from ..storage.cache import DATASETS


class Record(BaseModel):
    """What is remembered of a dataset.

    Attributes:
        path: Where its copy lies: an archive, a file or a folder; None while there is none.
        num_images: How many images that copy holds; None: not counted.
        source: Where the copy came from, in words.
        root: The folder under which its fetched files go; None: the cache's.
        licence: The words of the licence that was accepted; empty: none was.
    """

    model_config = ConfigDict(frozen=True)

    path: Path | None = None
    num_images: int | None = None
    source: str = ""
    root: Path | None = None
    licence: str = ""


def recall(name: str) -> Record:
    """What is remembered of the dataset `name`; an empty record when that is nothing.

    Raises:
        DataError: The record is damaged.
    """
    file = DATASETS.path / f"{name}.json"
    try:
        return Record.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Record()
    except ValidationError:
        raise DataError(f"{file}: damaged; remove it and run 'facegan download {name}' again") from None


def remember(name: str, **changes: Any) -> Record:
    """Change what is remembered of the dataset `name`, and keep the rest.

    Raises:
        DataError: The record is damaged.
    """
    record = recall(name).model_copy(update=changes)
    DATASETS.write(f"{name}.json", record.model_dump_json(exclude_defaults=True).encode())
    return record


def register(name: str, path: Path, *, num_images: int | None = None, source: str = "") -> Record:
    """Remember that a copy of the dataset `name` lies at `path`; nothing is copied.

    Raises:
        DataError: There is nothing at `path`.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give the copy of {name} that you have")
    return remember(name, path=path.resolve(), num_images=num_images, source=source)


def locate(name: str) -> Path | None:
    """Where the dataset `name` lies on this machine, or None.

    Raises:
        DataError: It was registered and has gone since.
    """
    path = recall(name).path
    if path is not None and not path.exists():
        raise DataError(
            f"{name}: registered at {path}, which is gone; run 'facegan download {name}', "
            "with --from if you have another copy"
        )
    return path
