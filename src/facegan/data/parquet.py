"""Images in parquet files, as Hugging Face's datasets and others publish them."""

import json
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..images.decode import MAX_BYTES, too_large
from ..messages import one_line
from .annotations import MAX_COLUMNS, PARTS, Column, column_of, is_plain, part_name, partition_of
from .source import MAX_NAMES, MAX_RATIO, Delivered, fingerprint_of, is_hidden, is_image_name, shown

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_BATCH = 16  # images read at a time: many of the largest size still fit into memory
_FREE_BYTES = 2**30  # a column of images up to this size may expand by any ratio
_MAX_PATH_BYTES, _PATHS_BYTES = 4096, 2**27  # of one path, and of those in memory at a time
_MAX_PLAIN_BYTES = 4 * MAX_BYTES  # of the columns other than the images


class ParquetSource:
    """The images in a parquet file, or in all parquet files of a folder.

    The column of images is detected; columns of booleans, numbers and text are attributes. Where the files' names begin
    with more than one of train, valid and test, as Hugging Face's do, the part is the attribute `partition`.

    Attributes:
        names: The stored paths if they are present, safe and distinct, else FILE-ROW; sorted.
        crop: What crop="auto" means here.
    """

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None) -> None:
        """Find the column of images in each file, and their names; takes the arguments of `open_path`.

        Raises:
            DataError: A file is damaged, encrypted or unsafe, has no column of images or several, or all are empty.
        """
        self.crop = crop
        self._where = where or str(path)
        self._shards = [_Shard(each) for each in (_shards_in(path) if path.is_dir() else [path])]
        num_rows = sum(shard.num_rows for shard in self._shards)
        if not num_rows:
            raise DataError(f"{self._where}: no images found (its parquet files have no rows)")
        if num_rows > MAX_NAMES:
            raise DataError(f"{self._where}: {num_rows:,} rows are too many (the limit is {MAX_NAMES:,}); give fewer")
        names = [path for shard in self._shards for path in shard.stored_paths()]
        if len(set(names)) < num_rows:
            names = self._numbered_names()
        self._rows = {name: row for row, name in enumerate(names)}
        self.names: Sequence[str] = sorted(names)
        self._columns: dict[str, Column] | None = None

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the columns of booleans, numbers and text, and `partition` where the files' names give it.

        Raises:
            DataError: The files disagree about a column, are damaged, or hold too much data next to the images.
        """
        if self._columns is None:
            self._columns = self._partition_by_files() | self._read_columns()
        rows = np.fromiter((self._rows[name] for name in names), np.int64, len(names))
        return {key: column.take(rows) for key, column in self._columns.items()}

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash each file's path, size and modification time, and the names."""
        stamps = (os.fsencode(shard.path.resolve()) + b" %d %d\n" % shard.stamp for shard in self._shards)
        return fingerprint_of(b"".join(stamps), names)

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each image's bytes in the order of the rows, a few at a time.

        Raises:
            DataError: A file has gone or changed since it was listed.
        """
        by_row = {self._rows[name]: name for name in names}
        wanted = np.array(sorted(by_row), dtype=np.int64)
        start = 0
        for shard in self._shards:
            inside = _between(wanted, start, start + shard.num_rows) - start
            for row, content in shard.contents(inside) if len(inside) else ():
                yield by_row[start + row], content
            start += shard.num_rows

    def _numbered_names(self) -> list[str]:
        """Return FILE-ROW for each row, with the file's number in front where two files share a name."""
        stems = [shard.path.stem for shard in self._shards]
        if len(set(stems)) < len(stems):
            stems = [f"{number:05d}-{stem}" for number, stem in enumerate(stems)]
        width = max(6, *(len(str(shard.num_rows)) for shard in self._shards))
        pairs = zip(stems, self._shards, strict=True)
        return [f"{stem}-{row:0{width}d}" for stem, shard in pairs for row in range(shard.num_rows)]

    def _read_columns(self) -> dict[str, Column]:
        import pyarrow as pa

        tables = [shard.plain_columns() for shard in self._shards]
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise DataError(f"{self._where}: its files disagree about a column ({one_line(error)})") from None
        columns = {name: column_of(table[name]) for name in table.column_names if name != "partition"}
        if "partition" in table.column_names:
            columns["partition"] = partition_of(table["partition"].cast(pa.string()))
        return columns

    def _partition_by_files(self) -> dict[str, Column]:
        """Return the official split that the names of files or folders give, if they name more than one part."""
        parts = [_part_of(shard.path) for shard in self._shards]
        if len(set(parts) - {None}) < 2:
            return {}
        words = [*PARTS, None]
        codes = np.repeat([words.index(each) for each in parts], [shard.num_rows for shard in self._shards])
        return {"partition": Column(codes, words=words)}


class _Shard:
    """One parquet file.

    Attributes:
        path: The file.
        stamp: Its size and modification time.
        num_rows: The number of images.
    """

    def __init__(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
        self.path = path
        self.stamp = status.st_size, status.st_mtime_ns
        with _opened(path) as file:
            self._schema = file.schema_arrow
            # Nested is a struct of `bytes` and, often, `path`, as Hugging Face's Image is.
            self._column, self._is_nested = _image_column(path, self._schema)
            self._leaf = f"{self._column}.bytes" if self._is_nested else self._column
            metadata = file.metadata
            self.num_rows: int = metadata.num_rows
            rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
            if sum(rows) != self.num_rows or min(rows, default=0) < 0:
                raise ValueError("its counts of rows disagree")
            for chunk in _chunks(file, {self._leaf}):
                claimed = chunk.total_uncompressed_size
                if claimed > max(_FREE_BYTES, MAX_RATIO * chunk.total_compressed_size):
                    raise DataError(
                        f"{path}: unsafe file, nothing of it is used (its images expand more than {MAX_RATIO} times, "
                        f"to {claimed / 2**30:.0f} GiB); get it from its publisher"
                    )

    def stored_paths(self) -> list[str]:
        """Return the path stored next to each image; empty unless each has a safe one of its own."""
        import pyarrow as pa
        import pyarrow.compute as pc

        leaf, image = f"{self._column}.path", self._schema.field(self._column).type
        if not self._is_nested or image.get_field_index("path") < 0 or not _is_text(image.field("path").type):
            return []
        stored: list[str] = []
        with _opened(self.path) as file:
            # A path that is stored once and used often takes its memory as often.
            claimed = max((chunk.total_uncompressed_size for chunk in _chunks(file, {leaf})), default=0)
            batch_size = max(1, min(1024, _PATHS_BYTES // max(1, claimed)))
            try:
                for batch in file.iter_batches(batch_size, columns=[leaf], use_threads=False):
                    paths = batch.column(0).flatten()[0]
                    words = paths.dictionary if pa.types.is_dictionary(paths.type) else paths
                    if (pc.max(pc.binary_length(words)).as_py() or 0) > _MAX_PATH_BYTES:
                        return []
                    stored += [path for path in paths.to_pylist() if path and _is_safe(path)]
            except pa.ArrowNotImplementedError:  # a kind of text that Arrow cannot read inside of a struct
                return []
        return stored if len(stored) == self.num_rows else []

    def plain_columns(self) -> "pa.Table":
        """Read the columns of booleans, numbers and text.

        Raises:
            DataError: They are damaged, too many or too large.
        """
        plain = [field for field in self._schema if is_plain(field.type)]
        text = {field.name for field in plain if _is_text(field.type)}
        names = [field.name for field in plain]
        with _opened(self.path, read_dictionary=list(text)) as file:  # a repeated word is stored once
            # A column of one repeated number is a few bytes until it is read.
            row_bytes = sum(field.type.bit_width // 8 or 1 for field in plain if field.name not in text)
            stored_bytes = sum(chunk.total_uncompressed_size for chunk in _chunks(file, set(names)))
            claimed = max(stored_bytes, self.num_rows * row_bytes)
            if len(plain) > MAX_COLUMNS or claimed > _MAX_PLAIN_BYTES:
                raise DataError(
                    f"{self.path}: too much next to the images ({len(plain)} columns, {claimed // 2**20} MiB; "
                    f"the limits are {MAX_COLUMNS} and {_MAX_PLAIN_BYTES // 2**20}); give a file without it"
                )
            return file.read(columns=names, use_threads=False)

    def contents(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Delivered]]:
        """Yield (row, content) for these rows, which ascend.

        Raises:
            DataError: The file has gone or changed since it was listed.
        """
        with _opened(self.path) as file:
            if file.metadata.num_rows != self.num_rows:
                raise ValueError("it has changed since it was opened")
            end = 0
            for group in range(file.num_row_groups):
                start, end = end, end + file.metadata.row_group(group).num_rows
                left = deque(_between(wanted, start, end).tolist())
                try:
                    yield from self._group_contents(file, group, start, left)
                except Exception as error:  # the rest of the group cannot be trusted
                    for row in left:
                        yield row, DataError(f"damaged in {self.path.name} ({one_line(error, 100)})")

    def _group_contents(
        self, file: "ParquetFile", group: int, start: int, left: deque[int]
    ) -> Iterator[tuple[int, Delivered]]:
        """Take rows of one row group, which begins at row `start` of the file, until none is left."""
        batches = file.iter_batches(_BATCH, row_groups=[group], columns=[self._leaf], use_threads=False)
        while left:
            batch = next(batches, None)
            if batch is None:
                raise ValueError("it ends too early")
            values = batch.column(0).flatten()[0] if self._is_nested else batch.column(0)
            while left and left[0] < start + len(batch):
                buffer = values[left[0] - start].as_buffer()
                refusal = DataError("the row holds no image") if buffer is None else too_large(buffer.size)
                yield left.popleft(), refusal or buffer.to_pybytes()
            start += len(batch)


def is_parquet(path: Path) -> bool:
    """Return whether a path is a parquet file by its first bytes, or a folder of parquet files without image files."""
    try:
        if path.is_dir():
            return bool(_shards_in(path))
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"PAR1", b"PARE")
    except OSError:
        return False


def _shards_in(folder: Path) -> list[Path]:
    """Return the parquet files in a folder, at any depth, in order; none if there are image files too."""
    shards = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            if is_image_name(name):
                return []
            if name.lower().endswith(".parquet") and not is_hidden(name):
                shards.append(Path(place, name))
    return sorted(shards)


@contextmanager
def _opened(path: Path, **options: Any) -> "Iterator[ParquetFile]":
    """Open a parquet file for reading piece by piece.

    Raises:
        DataError: It cannot be read, or whatever else goes wrong inside the `with`: on damaged bytes Arrow raises a
            dozen kinds of errors.
    """
    import pyarrow.parquet as pq

    try:
        # Page by page, not by row group.
        with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False, **options) as file:
            yield file
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: cannot be read (No such file or directory)") from None
    except Exception as error:
        why = one_line(error, 100)
        if "encrypt" in why.lower() or "decrypt" in why.lower():
            raise DataError(f"{path}: the parquet file is encrypted; give one that is not") from None
        raise DataError(f"{path}: the parquet file is damaged or cut short ({why}); download it again") from None


def _image_column(path: Path, schema: "pa.Schema") -> tuple[str, bool]:
    """Return the column of images and whether it is nested: Hugging Face's Image, a struct, or plain bytes."""
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
    """Return the columns that Hugging Face's metadata declares as Image."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [name for name, feature in features.items() if feature.get("_type") == "Image"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return []


def _chunks(file: "ParquetFile", leaves: set[str]) -> Iterator[Any]:
    """Yield the metadata of these columns, row group by row group."""
    for group in range(file.num_row_groups):
        row_group = file.metadata.row_group(group)
        chunks = (row_group.column(place) for place in range(row_group.num_columns))
        yield from [chunk for chunk in chunks if chunk.path_in_schema in leaves]


def _between(rows: NDArray[np.int64], start: int, end: int) -> NDArray[np.int64]:
    """Return those of ascending rows from `start` to before `end`."""
    return rows[slice(*np.searchsorted(rows, [start, end]))]


def _is_text(type: "pa.DataType") -> bool:
    import pyarrow.types as types

    return is_plain(type) and not types.is_primitive(type)


def _is_safe(path: str) -> bool:
    """Return whether a stored path can be an image's name: relative and normalized."""
    return not ("\\" in path or re.match("[A-Za-z]:", path) or {"", ".", ".."} & set(path.split("/")))


def _part_of(path: Path) -> str | None:
    """Return train, val or test by the word that a file's name, or else its folder's, begins with."""
    words = (re.split("[^a-z]", text.lower(), maxsplit=1)[0] for text in (path.stem, path.parent.name))
    return next((part for part in map(part_name, words) if part in PARTS), None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name)[:60] for name in names[:8]) + (", ..." if len(names) > 8 else "")
