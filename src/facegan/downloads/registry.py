"""The registry of published datasets on this machine: the path and the facts of each copy."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from ..errors import DataError
from ..messages import local_path, portable_path
from ..storage.cache import DATASETS

PortablePath = Annotated[
    Path,
    BeforeValidator(lambda value: local_path(value) if isinstance(value, str) else value),
    PlainSerializer(portable_path, when_used="json"),
]


class Record(BaseModel):
    """The entry of a dataset."""

    model_config = ConfigDict(frozen=True)

    path: PortablePath | None = None  # its copy: an archive, a file or a folder; None: there is none
    num_images: int | None = None  # in that copy; None: not counted
    source: str = ""  # where the copy came from, in words
    root: PortablePath | None = None  # the folder for its downloaded files; None: the cache
    licence: str = ""  # the accepted one, in words; empty: none was accepted


def recall(name: str) -> Record:
    """Return the record of a dataset; an empty one where there is none.

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
    """Change some fields of a dataset's record; raises as `recall`."""
    record = recall(name).model_copy(update=changes)
    DATASETS.write(f"{name}.json", record.model_dump_json(exclude_defaults=True).encode())
    return record


def register(name: str, path: Path, *, num_images: int | None = None, source: str = "") -> Record:
    """Record that `path` is a copy of a dataset; nothing is copied.

    Raises:
        DataError: There is nothing at `path`.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give the copy of {name} that you have")
    return remember(name, path=path.resolve(), num_images=num_images, source=source)


def locate(name: str) -> Path | None:
    """Return the path of a dataset's copy, or None.

    Raises:
        DataError: It was registered and no longer exists.
    """
    path = recall(name).path
    if path is not None and not path.exists():
        raise DataError(
            f"{name}: registered at {path}, which is gone; run 'facegan download {name}', "
            "with --from if you have another copy"
        )
    return path
