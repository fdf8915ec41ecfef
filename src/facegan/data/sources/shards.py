"""One parquet file of images: finding its column of images, and reading that a few rows at a time."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..source import MAX_BYTES, MAX_RATIO, Delivered, is_hidden, is_image_name, shown, too_large
from .columns import MAX_COLUMNS, is_plain

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_BATCH = 16  # images read at a time: many of the largest size still fit into memory
_FREE_BYTES = 2**30  # a column of images up to this size may expand as it likes
_MAX_PATH_BYTES, _PATHS_BYTES = 4096, 2**27  # of one path, and of those in memory at a time
_MAX_PLAIN_BYTES = 4 * MAX_BYTES  # of what stands beside the images


@dataclass(frozen=True)
class Shard:
    """One file.

    Attributes:
        path: Where it lies.
        stamp: Its size and modification time.
        num_rows: How many images it has.
        column: The column that holds them.
        nested: Whether that is a struct of `bytes` and, often, `path`, as Hugging Face's Image is.
    """

    path: Path
    stamp: tuple[int, int]
    num_rows: int
    column: str
    nested: bool

    def stored_paths(self) -> list[str | None] | None:
        """What stands as `path` beside each image; None if there is no such thing, or one is absurdly long."""
        import pyarrow as pa
        import pyarrow.compute as pc

        leaf = f"{self.column}.path"
        with opened(self.path) as file:
            chunks = list(_chunks(self.path, file, {leaf}))
            if not self.nested or not chunks:
                return None
            # A path that is stored once and meant often takes its memory as often.
            batch_size = _PATHS_BYTES // max(1, *(chunk.total_uncompressed_size for chunk in chunks))
            paths: list[str | None] = []
            try:
                for batch in file.iter_batches(min(1024, batch_size) or 1, columns=[leaf], use_threads=False):
                    column = batch.column(0).flatten()[0]
                    words = column.dictionary if pa.types.is_dictionary(column.type) else column
                    if (pc.max(pc.binary_length(words)).as_py() or 0) > _MAX_PATH_BYTES:
                        return None
                    paths += column.to_pylist()
            except pa.ArrowNotImplementedError:  # a kind of text that Arrow cannot read inside of a struct
                return None
            except Exception as error:
                raise damaged(self.path, error) from None
            return paths

    def plain_columns(self) -> "pa.Table":
        """The columns of booleans, numbers and text.

        Raises:
            DataError: They are damaged, too many or too large.
        """
        import pyarrow.types as types

        with opened(self.path) as file:
            schema = file.schema_arrow
            plain = [field.name for field in schema if is_plain(field.type)]
            text = [name for name in plain if not types.is_primitive(schema.field(name).type)]
            claimed = sum(chunk.total_uncompressed_size for chunk in _chunks(self.path, file, set(plain)))
            # A column of one repeated number is a few bytes until it is read.
            claimed = max(
                claimed,
                file.metadata.num_rows
                * sum(schema.field(name).type.bit_width // 8 or 1 for name in plain if name not in text),
            )
        if len(plain) > MAX_COLUMNS or claimed > _MAX_PLAIN_BYTES:
            raise DataError(
                f"{self.path}: too much beside the images ({len(plain)} columns, {claimed // 2**20} MiB; "
                f"the limits are {MAX_COLUMNS} and {_MAX_PLAIN_BYTES // 2**20}); give a file without it"
            )
        with opened(self.path, read_dictionary=text) as file:  # a word that is repeated stays one word
            try:
                return file.read(columns=plain, use_threads=False)
            except Exception as error:
                raise damaged(self.path, error) from None

    def contents(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Delivered]]:
        """Yield (row, content) for these rows, which ascend.

        Raises:
            DataError: The file has gone or changed since it was listed.
        """
        with opened(self.path) as file:
            if file.metadata.num_rows != self.num_rows:
                raise damaged(self.path, "it has changed since it was opened")
            end = 0
            for group in range(file.num_row_groups):
                start, end = end, end + file.metadata.row_group(group).num_rows
                inside = _between(wanted, start, end)
                done = 0
                try:
                    for row, content in self._group(file, group, start, inside):
                        done += 1
                        yield row, content
                except Exception as error:  # what follows in the group cannot be told from rubbish
                    for row in inside[done:].tolist():
                        yield row, DataError(f"damaged in {self.path.name} ({_reason(error)})")

    def _group(
        self, file: "ParquetFile", group: int, start: int, wanted: NDArray[np.int64]
    ) -> Iterator[tuple[int, Delivered]]:
        """The wanted rows of one row group, which begins at row `start` of the file."""
        if not len(wanted):
            return
        leaf = f"{self.column}.bytes" if self.nested else self.column
        for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[leaf], use_threads=False):
            inside = _between(wanted, start, start + len(batch))
            values = batch.column(0).flatten()[0] if self.nested else batch.column(0)
            for row in inside.tolist():
                buffer = values[row - start].as_buffer()
                if buffer is None:
                    yield row, DataError("the row holds no image")
                else:
                    yield row, too_large(buffer.size) or buffer.to_pybytes()
            start += len(batch)
            if start > wanted[-1]:
                return
        raise ValueError("it ends too early")


def open_shard(path: Path) -> Shard:
    """Look into a parquet file.

    Raises:
        DataError: It is damaged, encrypted or unsafe, or has no column of images, or several.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    with opened(path) as file:
        column, nested = _picture_column(path, file.schema_arrow)
        metadata = file.metadata
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if sum(rows) != metadata.num_rows or min(rows, default=0) < 0:
            raise damaged(path, "its counts of rows disagree")
        for chunk in _chunks(path, file, {f"{column}.bytes" if nested else column}):
            claimed = chunk.total_uncompressed_size
            if claimed > max(_FREE_BYTES, MAX_RATIO * chunk.total_compressed_size):
                raise DataError(
                    f"{path}: unsafe file, nothing of it is used (its images expand more than {MAX_RATIO} times, to "
                    f"{claimed / 2**30:.0f} GiB); get it from its publisher"
                )
        return Shard(path, (status.st_size, status.st_mtime_ns), metadata.num_rows, column, nested)


def opened(path: Path, **options: Any) -> "ParquetFile":
    """A parquet file, to be closed by a `with`; its columns are read piece by piece.

    Raises:
        DataError: It cannot be read, or is no sound parquet file.
    """
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False, **options)  # page by page, not by row group
    except FileNotFoundError:
        raise DataError(f"{path}: cannot be read (No such file or directory)") from None
    except Exception as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception | str) -> DataError:
    """The refusal of a file that cannot be read as parquet."""
    reason = _reason(error)
    if "encrypt" in reason.lower() or "decrypt" in reason.lower():
        return DataError(f"{path}: the parquet file is encrypted; give one that is not")
    return DataError(f"{path}: the parquet file is damaged or cut short ({reason}); download it again")


def is_parquet(path: Path) -> bool:
    """Whether a path is a parquet file by its first bytes, or a folder with parquet files and no images as files."""
    try:
        if path.is_dir():
            return bool(shards_in(path))
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"PAR1", b"PARE")
    except OSError:
        return False


def shards_in(folder: Path) -> list[Path]:
    """The parquet files in a folder, at any depth, in order; none if there are images as files too."""
    shards = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            if is_image_name(name):
                return []
            if name.lower().endswith(".parquet") and not is_hidden(name):
                shards.append(Path(place, name))
    return sorted(shards)


def _picture_column(path: Path, schema: "pa.Schema") -> tuple[str, bool]:
    """The column of images, and whether it is nested: Hugging Face's Image, else a struct with bytes, else bytes."""
    import pyarrow.types as types

    def is_bytes(type: "pa.DataType") -> bool:
        return bool(types.is_binary(type) or types.is_large_binary(type))

    nested: dict[str, bool] = {}
    for field in schema:
        if is_bytes(field.type):
            nested[field.name] = False
        elif types.is_struct(field.type):
            place = field.type.get_field_index("bytes")
            if place >= 0 and is_bytes(field.type.field(place).type):
                nested[field.name] = True
    images = [name for name in _image_features(schema) if name in nested]
    candidates = images or [name for name in nested if nested[name]] or list(nested)
    if not candidates:
        raise DataError(
            f"{path}: no column of images (it has: {_listed(schema.names)}); "
            "give a file with one column of encoded images, as bytes or as Hugging Face's Image"
        )
    if len(candidates) > 1:
        raise DataError(f"{path}: several columns of images ({_listed(candidates)}); give a file with one of them")
    return candidates[0], nested[candidates[0]]


def _image_features(schema: "pa.Schema") -> list[str]:
    """The columns that Hugging Face's metadata calls an Image."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [name for name, feature in features.items() if feature.get("_type") == "Image"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return []


def _chunks(path: Path, file: "ParquetFile", leaves: set[str]) -> Iterator[Any]:
    """What the file's own table says of these columns, row group by row group; raises DataError for one of no text."""
    for group in range(file.num_row_groups):
        row_group = file.metadata.row_group(group)
        chunks = (row_group.column(place) for place in range(row_group.num_columns))
        try:
            yield from [chunk for chunk in chunks if chunk.path_in_schema in leaves]
        except UnicodeDecodeError as error:
            raise damaged(path, error) from None


def _between(rows: NDArray[np.int64], start: int, end: int) -> NDArray[np.int64]:
    """Of ascending rows, those from `start` to before `end`."""
    return rows[slice(*np.searchsorted(rows, [start, end]))]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name)[:60] for name in names[:8]) + (", ..." if len(names) > 8 else "")


def _reason(error: Exception | str) -> str:
    return shown(" ".join(str(error).split()))[:100] or type(error).__name__
