"""Pictures in parquet files, as Hugging Face's datasets and others publish them."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..source import MAX_NAMES, Delivered, encoded
from .columns import PARTS, Column, as_partition, column_of, part
from .shards import open_shard, shards_in


class ParquetSource:
    """The images in a parquet file, or in all parquet files of a folder.

    The column of images is found by itself; columns of booleans, numbers and text are attributes. Where the files'
    names begin with more than one of train, valid and test, as Hugging Face's do, that is the attribute `partition`.

    Attributes:
        names: The paths stored beside the images if each has one of its own, else FILE-ROW; sorted.
        crop: What crop="auto" means here.
        passed_over: Empty: what a row holds is known only when it is read.
    """

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None) -> None:
        """Look into each file for its column of images and their names.

        Args:
            path: A parquet file, or a folder of them.
            crop: What crop="auto" means here.
            where: How messages name it; None: by its path.

        Raises:
            DataError: A file is damaged, encrypted or unsafe, has no column of images or several, or all are empty.
        """
        self.crop = crop
        self.passed_over: Counter[str] = Counter()
        self._where = where or str(path)
        self._shards = [open_shard(each) for each in (shards_in(path) if path.is_dir() else [path])]
        num_rows = sum(shard.num_rows for shard in self._shards)
        if not num_rows:
            raise DataError(f"{self._where}: no images found (its parquet files have no rows)")
        if num_rows > MAX_NAMES:
            raise DataError(f"{self._where}: {num_rows:,} rows are too many (the limit is {MAX_NAMES:,}); give fewer")
        names = self._stored_names() or self._numbered_names()
        self._rows = {name: row for row, name in enumerate(names)}
        self.names: Sequence[str] = sorted(names)
        self._columns: dict[str, Column] | None = None

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """The other columns of booleans, numbers and text, and `partition` where the files' names tell it.

        Raises:
            DataError: The files disagree about a column, or are damaged, or hold too much beside the images.
        """
        if self._columns is None:
            self._columns = self._partition() | self._read_columns()
        rows = np.fromiter((self._rows[name] for name in names), np.int64, len(names))
        return {key: column.take(rows) for key, column in self._columns.items()}

    def fingerprint(self, names: Sequence[str]) -> str:
        """Of each file's place, size and modification time, and of the names."""
        digest = hashlib.sha256()
        for shard in self._shards:
            digest.update(os.fsencode(shard.path.resolve()) + b" %d %d\n" % shard.stamp)
        for name in names:
            digest.update(b"\n" + encoded(name))
        return digest.hexdigest()

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each image's bytes in the order of the rows, a few at a time.

        Raises:
            DataError: A file has gone or changed since it was listed.
        """
        by_row = {self._rows[name]: name for name in names}
        wanted = np.array(sorted(by_row), dtype=np.int64)
        start = 0
        for shard in self._shards:
            end = start + shard.num_rows
            inside = wanted[(start <= wanted) & (wanted < end)] - start
            if len(inside):
                for row, content in shard.contents(inside):
                    yield by_row[start + row], content
            start = end

    def _stored_names(self) -> list[str] | None:
        """The paths beside the images, if each has one, no two are the same, and none reaches out of the set."""
        names: list[str] = []
        for shard in self._shards:
            paths = [path for path in shard.stored_paths() or () if path and _is_usable(path)]
            if len(paths) != shard.num_rows:
                return None
            names += paths
        return names if len(set(names)) == len(names) else None

    def _numbered_names(self) -> list[str]:
        """FILE-ROW for each row, with the file's number in front where two files have one name."""
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
            raise DataError(
                f"{self._where}: its files disagree about a column ({' '.join(str(error).split())})"
            ) from None
        columns = {name: column_of(table[name]) for name in table.column_names}
        if "partition" in columns:
            columns["partition"] = as_partition(column_of(table["partition"].cast(pa.string())))
        return columns

    def _partition(self) -> dict[str, Column]:
        """What the files' names, or their folders', say of the official split, if they tell more than one part."""
        parts = [_part(shard.path) for shard in self._shards]
        if len(set(parts) - {None}) < 2:
            return {}
        words = [*PARTS, None]
        codes = np.repeat([words.index(each) for each in parts], [shard.num_rows for shard in self._shards])
        return {"partition": Column(codes, words=words)}


def _is_usable(path: str) -> bool:
    """Whether a stored path can name an image: relative, tidy."""
    if "\\" in path or re.match("[A-Za-z]:", path):
        return False
    return not {"", ".", ".."} & set(path.split("/"))


def _part(path: Path) -> str | None:
    """train, val or test by the word that a file's name, or else its folder's, begins with."""
    for text in (path.stem, path.parent.name):
        word = re.match("[a-z]*", text.lower())
        if word and part(word[0]) in PARTS:
            return part(word[0])
    return None
