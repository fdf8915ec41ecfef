"""What is written beside the packed pixels: a table of the images, and documents."""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import DataError
from ..source import as_text
from .packed_images import DIGEST, NAME


def write_columns(
    path: Path, names: list[str], digests: list[bytes], attributes: dict[str, list[Any]], source: str
) -> None:
    """Write a table with a row an image: its name, the SHA-256 of its file, its attributes.

    Args:
        path: The file.
        names: The images' names.
        digests: 32 bytes each.
        attributes: A column each, aligned with the names.
        source: What messages call the source.

    Raises:
        DataError: A column holds values of several kinds, or has a name that is taken.
    """
    import pyarrow.parquet  # heavy, and not needed to train

    columns: dict[str, Any] = {
        NAME: pyarrow.array([as_text(name) for name in names], pyarrow.string()),
        DIGEST: pyarrow.array(digests, pyarrow.binary(32)),
    }
    for key, values in attributes.items():
        try:
            column = pyarrow.array(values)
        except (pyarrow.ArrowException, TypeError):
            raise DataError(f"{source}: attribute '{key}' mixes words, numbers or others; give it one kind") from None
        if columns.setdefault(str(key), column) is not column:
            raise DataError(
                f"{source}: an attribute is called '{key}', as the index calls a column of its own; rename it"
            )
    with path.open("wb") as file:
        pyarrow.parquet.write_table(pyarrow.table(columns), file, compression="zstd")
        _sync(file)


def write_json(path: Path, document: Any) -> None:
    """Write a document, and have it on the disk."""
    with path.open("wb") as file:
        file.write(json.dumps(document).encode())
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
