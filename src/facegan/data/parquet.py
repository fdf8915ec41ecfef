"""Images in parquet files, as Hugging Face's datasets and others publish them."""

import json
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..images.decode import MAX_BYTES, READING, too_large
from ..messages import one_line
from .annotations import MAX_COLUMNS, PARTS, is_plain, normalize, take_rows
from .rules import Sorter, is_image_name
from .source import MAX_NAMES, MAX_RATIO, Delivered, fingerprint_of, read_head, shown

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_BATCH = 16  # images read at a time: many of the largest size still fit into memory
_FREE_BYTES = 2**30  # a column of images up to this size may expand by any ratio
_PATHS_BYTES = 2**27  # of stored paths in memory at a time
_MAX_PLAIN_BYTES = 4 * MAX_BYTES  # of the columns other than the images


class ParquetSource:
    """The images in a parquet file, or in all parquet files of a folder.

    The column of images is detected; columns of booleans, numbers and text are attributes. Where the files' names begin
    with more than one of train, valid and test, as Hugging Face's do, the part is the attribute `partition`.
    The names are the stored paths if they are present, safe and distinct, else FILE-ROW.
    """

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None, reading: int = READING) -> None:
        """Find the column of images in each file, and their names; takes the arguments of `open_path`."""
        self.crop = crop
        self._where = where or str(path)
        self._shards = [_Shard(each) for each in (_shards_in(path, reading) if path.is_dir() else [path])]
        num_rows = sum(shard.num_rows for shard in self._shards)
        if not 0 < num_rows <= MAX_NAMES:
            raise DataError(f"{self._where}: {num_rows:,} rows of images; give 1 to {MAX_NAMES:,}")
        names = [path for shard in self._shards for path in shard.stored_paths()]
        if len(set(names)) < num_rows:
            names = self._numbered_names()
        self._rows = {name: row for row, name in enumerate(names)}
        self.names: Sequence[str] = sorted(names)
        self._attributes: pa.Table | None = None

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the columns of booleans, numbers and text, and `partition` where the files' names give it."""
        if self._attributes is None:
            self._attributes = self._read_attributes()
        return take_rows(self._attributes, [self._rows[name] for name in names])

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash each file's path, size and modification time, and the names."""
        stamps = (os.fsencode(shard.path.resolve()) + b" %d %d\n" % shard.stamp for shard in self._shards)
        return fingerprint_of(b"".join(stamps), names)

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each image's bytes in the order of the rows, a few at a time."""
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

    def _read_attributes(self) -> "pa.Table":
        import pyarrow as pa

        tables = [shard.plain_columns() for shard in self._shards]
        parts = [_part_of(shard.path) for shard in self._shards]
        if len(set(parts) - {None}) > 1 and not any("partition" in table.column_names for table in tables):
            for place, (part, table) in enumerate(zip(parts, tables, strict=True)):
                column = pa.repeat(pa.scalar(part, pa.string()), len(table))
                tables[place] = table.append_column("partition", column)
        try:
            return normalize(pa.concat_tables(tables, promote_options="permissive"))
        except pa.ArrowException as error:
            raise DataError(f"{self._where}: its files disagree about a column ({one_line(error)})") from None


class _Shard:
    """One parquet file, whose images are a column of bytes or, as Hugging Face's Image, of structs with `bytes`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _open(path) as file:
            status = path.stat()
            self.stamp = status.st_size, status.st_mtime_ns
            self._schema = file.schema_arrow
            self._column, self._is_nested = _image_column(path, self._schema)
            self._leaf = f"{self._column}.bytes" if self._is_nested else self._column
            self.num_rows: int = file.metadata.num_rows
            if sum(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)) != self.num_rows:
                raise ValueError("its counts of rows disagree")
            for chunk in _chunks(file, {self._leaf, f"{self._column}.path"}):
                claimed = chunk.total_uncompressed_size
                if claimed > max(_FREE_BYTES, MAX_RATIO * chunk.total_compressed_size):
                    raise DataError(
                        f"{path}: unsafe file, nothing of it is used (its images expand more than {MAX_RATIO} times, "
                        f"to {claimed / 2**30:.0f} GiB); get it from its publisher"
                    )

    def stored_paths(self) -> list[str]:
        """Return the path stored next to each image; empty unless each has a safe one of its own."""
        leaf = f"{self._column}.path"
        paths: dict[str, None] = {}
        with _open(self.path) as file:
            # A path that is stored once and used often takes its memory as often.
            claimed = max((chunk.total_uncompressed_size for chunk in _chunks(file, {leaf})), default=0)
            batch_size = max(1, min(1024, _PATHS_BYTES // max(1, claimed)))
            for batch in file.iter_batches(batch_size, columns=[leaf], use_threads=False) if claimed else ():
                for path in batch.column(0).flatten()[0].to_pylist():
                    if not isinstance(path, str) or path in paths or not _is_safe(path):
                        return []
                    paths[path] = None
        return list(paths)

    def plain_columns(self) -> "pa.Table":
        """Read the columns of booleans, numbers and text."""
        import pyarrow.types as types

        plain = [field for field in self._schema if is_plain(field.type)]
        names = [field.name for field in plain]
        text = [field.name for field in plain if not types.is_primitive(field.type)]
        with _open(self.path, read_dictionary=text) as file:  # a repeated word is stored once
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
        """Yield (row, content) for these rows, which ascend; a damaged row group loses only its own rows."""
        with _open(self.path) as file:
            end = 0
            for group in range(file.num_row_groups):
                start, end = end, end + file.metadata.row_group(group).num_rows
                left = deque(_between(wanted, start, end).tolist())
                why = "it ends too early"
                try:
                    batches = file.iter_batches(_BATCH, row_groups=[group], columns=[self._leaf], use_threads=False)
                    for batch in batches if left else ():
                        images = batch.column(0).flatten()[0] if self._is_nested else batch.column(0)
                        while left and left[0] < start + len(batch):
                            buffer = images[left[0] - start].as_buffer()
                            refusal = DataError("the row holds no image") if buffer is None else too_large(buffer.size)
                            yield left.popleft(), refusal or buffer.to_pybytes()
                        start += len(batch)
                        if not left:
                            break
                except Exception as error:  # the rest of the group cannot be trusted
                    why = one_line(error, 100)
                for row in left:
                    yield row, DataError(f"damaged in {self.path.name} ({why})")


def is_parquet(path: Path, reading: int = READING) -> bool:
    """Return whether a path is a parquet file by its first bytes, or a folder of parquet files without image files."""
    try:
        if path.is_dir():
            return bool(_shards_in(path, reading))
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"PAR1", b"PARE")
    except OSError:
        return False


def _shards_in(folder: Path, reading: int) -> list[Path]:
    """Return the parquet files in a folder, at any depth, in order; none if there are image files too."""
    shards: list[Path] = []
    others: list[Path] = []
    sorter = Sorter(reading)
    for place, folders, files in os.walk(folder):
        inside = place[len(str(folder)) :].lstrip(os.sep)
        sorter.enter(inside, files)
        if sorter.reason_around(inside):
            folders.clear()
            continue
        if any(map(is_image_name, files)):
            return []
        for name in files:
            is_shard = name.lower().endswith(".parquet") and not name.startswith(".")
            (shards if is_shard else others).append(Path(place, name))
    if shards and any(sorter.is_image(path.name, partial(read_head, str(path))) for path in others):
        return []
    return sorted(shards)


@contextmanager
def _open(path: Path, **options: Any) -> "Iterator[ParquetFile]":
    """Open a parquet file for reading piece by piece.

    Raises:
        DataError: Anything that goes wrong inside the `with`: on damaged bytes Arrow raises a dozen kinds of errors.
    """
    import pyarrow.parquet as pq

    try:
        # Page by page, not by row group.
        with path.open("rb") as raw, pq.ParquetFile(raw, buffer_size=2**20, pre_buffer=False, **options) as file:
            yield file
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: cannot be read as parquet ({one_line(error, 100)}); download it again") from None


def _image_column(path: Path, schema: "pa.Schema") -> tuple[str, bool]:
    """Return the column of images, and whether it is nested: Hugging Face's Image, or plain bytes."""
    import pyarrow.types as types

    def is_bytes(type: "pa.DataType") -> bool:
        return bool(types.is_binary(type) or types.is_large_binary(type))

    nested = {
        field.name: types.is_struct(field.type)
        for field in schema
        if is_bytes(field.type)
        or (types.is_struct(field.type) and any(part.name == "bytes" and is_bytes(part.type) for part in field.type))
    }
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        images = [name for name in features if features[name].get("_type") == "Image" and name in nested]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):  # no metadata of Hugging Face
        images = []
    candidates = images or [name for name in nested if nested[name]] or list(nested)
    if len(candidates) != 1:
        listed = ", ".join(shown(name)[:60] for name in (candidates or schema.names)[:8])
        what = "several columns of images" if candidates else "no column of images among its columns"
        raise DataError(
            f"{path}: {what} ({listed}); "
            "give a file with one column of encoded images, as bytes or as Hugging Face's Image"
        )
    return candidates[0], nested[candidates[0]]


def _chunks(file: "ParquetFile", leaves: set[str]) -> Iterator[Any]:
    """Yield the metadata of these columns, row group by row group."""
    for group in range(file.num_row_groups):
        row_group = file.metadata.row_group(group)
        chunks = (row_group.column(place) for place in range(row_group.num_columns))
        yield from [chunk for chunk in chunks if chunk.path_in_schema in leaves]


def _between(rows: NDArray[np.int64], start: int, end: int) -> NDArray[np.int64]:
    """Return those of ascending rows from `start` to before `end`."""
    return rows[slice(*np.searchsorted(rows, [start, end]))]


def _is_safe(path: str) -> bool:
    """Return whether a stored path can be an image's name: relative and normalized."""
    return not ("\\" in path or re.match("[A-Za-z]:", path) or {"", ".", ".."} & set(path.split("/")))


def _part_of(path: Path) -> str | None:
    """Return train, val or test by the word that a file's name, or else its folder's, begins with."""
    words = (re.split("[^a-z]", text.lower(), maxsplit=1)[0] for text in (path.stem, path.parent.name))
    return next((PARTS[word] for word in words if word in PARTS), None)
