"""Attributes of images from text files: CelebA's, their CSV copies, or anyone's attributes.csv.

The first column of a file names an image: by its path in the source, or by its file name alone where that is unique.
CelebA's .txt files have layouts of their own; a .csv file names its columns in its first line.
"""

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..images.decode import too_large
from ..messages import one_line
from .source import shown

if TYPE_CHECKING:
    import pyarrow as pa

MAX_COLUMNS = 4096
PARTS = ("train", "val", "test")
_PART_ALIASES = {"0": "train", "1": "val", "2": "test", "valid": "val", "validation": "val", "dev": "val"}
_ATTRIBUTES, _PARTITION, _IDENTITY = "list_attr_celeba", "list_eval_partition", "identity_CelebA"
_NAMES = (
    *(f"{kind}{suffix}" for kind in (_ATTRIBUTES, _PARTITION, _IDENTITY) for suffix in (".txt", ".csv")),
    "attributes.csv",
)
_ONLY_COLUMN = {_PARTITION: "partition", _IDENTITY: "identity"}


@dataclass(frozen=True, eq=False)
class Column:
    """One attribute of many images.

    Attributes:
        values: One value per row: booleans or numbers, or codes into `words`.
        missing: Which rows have no value; None: each has one.
        words: The text that each code stands for; None: the values are booleans or numbers.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None
    words: list[Any] | None = None

    def take(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return the values of these rows, each a bool, int, float or str, or None if missing; row -1 has none."""
        taken: list[Any] = self.values[rows].tolist()
        if self.words is not None:
            taken = [self.words[code] for code in taken]
        gaps = rows < 0 if self.missing is None else (rows < 0) | self.missing[rows]
        for place in np.flatnonzero(gaps):
            taken[place] = None
        return taken


def is_plain(type: "pa.DataType") -> bool:
    """Return whether a column of this type holds booleans, numbers or text."""
    import pyarrow.types as types

    type = type.value_type if types.is_dictionary(type) else type
    known = (types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    return any(kind(type) for kind in known)


def column_of(array: "pa.ChunkedArray") -> Column:
    """Convert a column of booleans, numbers or text; nulls and NaN count as missing."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    missing = np.asarray(array.is_null(nan_is_null=True).combine_chunks())
    words = None
    if not types.is_primitive(array.type):
        coded = array if types.is_dictionary(array.type) else pc.dictionary_encode(array)
        coded = coded.unify_dictionaries().combine_chunks()
        coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
        words, array = coded.dictionary.to_pylist() or [None], coded.indices
    filled = pc.fill_null(array, False if types.is_boolean(array.type) else 0)
    return Column(np.asarray(filled), missing if missing.any() else None, words)


def part_name(word: str) -> str:
    """Return the official partition's part as train, val or test; any other word is returned unchanged."""
    return _PART_ALIASES.get(word.lower(), word.lower() if word.lower() in PARTS else word)


def partition_of(array: "pa.ChunkedArray") -> Column:
    """Convert a column of text that names parts of the official partition."""
    column = column_of(array)
    return Column(column.values, column.missing, [word and part_name(word) for word in column.words or []])


@dataclass(frozen=True)
class AnnotationFile:
    """A file that may hold attributes of a source's images.

    Attributes:
        name: Its file name, which determines its layout.
        where: Its name in messages.
        read: Returns its bytes, or why it cannot be read.
        stamp: Changes when its content may have changed.
        prefix: Added in front of its names to give the source's.
        surplus: Removed from the front of its names where present.
    """

    name: str
    where: str
    read: Callable[[], bytes | DataError]
    stamp: bytes = b""
    prefix: str = ""
    surplus: str = ""

    @property
    def kind(self) -> str:
        """Its name without the suffix."""
        return self.name.rpartition(".")[0]

    def path_of(self, key: str) -> str:
        """Return the path in the source that one of the file's names stands for."""
        return self.prefix + key.removeprefix("./").removeprefix(self.surplus)

    def error(self, what: str, line: int | None = None) -> DataError:
        """Return the error for a malformed file."""
        place = f"{self.where}: line {line}:" if line else f"{self.where}:"
        return DataError(f"{place} {what}; fix the file, or move it away to do without")


class Annotations:
    """The attributes that a source's annotation files hold; the files are read on first use.

    Of several files of one kind the first counts.
    """

    def __init__(self, files: Iterable[AnnotationFile], names: Sequence[str]) -> None:
        """Take the files that were found, the nearest to the images first, and the names of all images."""
        self._files: dict[str, AnnotationFile] = {}
        for file in files:
            self._files.setdefault(file.kind, file)
        self.stamp = b"".join(b"\n" + hashlib.sha256(file.stamp).digest() for file in self._files.values())
        self._names = names
        self._tables: list[tuple[dict[str, int], dict[str, Column]]] | None = None

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return one column per attribute, aligned with the names; None where an image has no value.

        Raises:
            DataError: A file is malformed or too large; its line is named.
        """
        if self._tables is None:
            self._tables = list(self._read())
        table: dict[str, list[Any]] = {}
        for row_of, columns in self._tables:
            rows = np.fromiter((row_of.get(name, -1) for name in names), np.int64, len(names))
            table |= {key: column.take(rows) for key, column in columns.items()}
        return table

    def _read(self) -> Iterator[tuple[dict[str, int], dict[str, Column]]]:
        last: tuple[object, ...] = ()
        rows: dict[str, int] = {}
        owners: dict[str, AnnotationFile] = {}
        for file in self._files.values():
            keys, columns = parse(file)
            if last != (last := (keys, file.prefix, file.surplus)):  # CelebA's files all list the same images
                rows = _match(file, keys, self._names)
            if not rows:  # its images are others
                continue
            for name in columns:
                if name in owners:
                    raise file.error(f"the column '{shown(name)}' is in {owners[name].where} too", 1)
                owners[name] = file
            yield rows, columns


def is_annotation(name: str) -> bool:
    """Return whether a '/'-separated path is an annotation file by its name."""
    return name.rpartition("/")[2] in _NAMES


def in_folder(folder: Path, *, surplus: str = "") -> list[AnnotationFile]:
    """Return the annotation files directly in a folder; `surplus` is the path from there to the images."""
    found = []
    for name in _NAMES:
        path = folder / name
        try:
            status = path.stat()
        except OSError:
            continue
        stamp = os.fsencode(path) + b" %d %d" % (status.st_size, status.st_mtime_ns)
        found.append(AnnotationFile(name, str(path), partial(_content, path), stamp, surplus=surplus))
    return found


def next_to(path: Path) -> list[AnnotationFile]:
    """Return the annotation files in the folder that holds a path, as given and with links resolved."""
    places = dict.fromkeys((path.absolute(), path.resolve()))
    return [file for place in places for file in in_folder(place.parent, surplus=f"{place.name}/")]


def parse(file: AnnotationFile) -> tuple[list[str], dict[str, Column]]:
    """Return the names in a file's first column, and its other columns."""
    content = file.read()
    if isinstance(content, DataError):
        raise DataError(f"{file.where}: {content}")
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise file.error("not UTF-8 text", content.count(b"\n", 0, error.start) + 1) from None
    table = _Table(file, content)
    return table.keys(), dict(table.columns())


class _Table:
    """The rows of a file; those of a .txt are separated by spaces, those of a .csv by commas."""

    def __init__(self, file: AnnotationFile, content: bytes) -> None:
        self._file = file
        self._is_spaced = file.name.endswith(".txt")
        self._content = _single_spaces(content) if self._is_spaced else content
        self._num_lines, self._header = self._read_header()  # lines before the rows, names of the columns
        self._check_header()
        self._rows = self._read_rows()
        if self._num_lines == 2:
            claimed = int(self._content.split(b"\n", 1)[0])
            if claimed != len(self._rows):
                raise file.error(f"it says {claimed:,} images, but {len(self._rows):,} follow", 1)

    def keys(self) -> list[str]:
        """Return the first column, whose values are distinct."""
        keys: list[str] = self._rows[self._header[0]].to_pylist()
        seen: set[str | None] = {None, ""}
        for row, key in enumerate(keys):
            if key in seen:
                raise self._error(
                    f"'{shown(key)}' is listed a second time" if key else "the image's name is missing", row
                )
            seen.add(key)
        return keys

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Yield the other columns that hold booleans, numbers or text."""
        for name in self._header[1:]:
            if self._file.kind == _ATTRIBUTES:
                yield name, self._signs(name)
            elif name == "partition":
                yield name, self._partition()
            elif is_plain(self._rows[name].type):
                yield name, column_of(self._rows[name])

    def _signs(self, name: str) -> Column:
        values = np.asarray(self._rows[name].fill_null(0))
        wrong = np.flatnonzero(np.abs(values) != 1)
        if len(wrong):
            raise self._error(f"'{shown(name)}' is neither 1 nor -1", wrong[0])
        return Column(values > 0)

    def _partition(self) -> Column:
        column = partition_of(self._rows["partition"])
        for code, word in enumerate(column.words or []):
            if word is not None and word not in PARTS:
                what = f"the partition is '{shown(word)[:40]}', not train, val or test (0, 1, 2)"
                raise self._error(what, np.flatnonzero(column.values == code)[0])
        return column

    def _read_header(self) -> tuple[int, list[str]]:
        only = _ONLY_COLUMN.get(self._file.kind)
        if self._is_spaced and only:
            return 0, ["name", only]
        first, second = (line.decode() for line in [*self._content.split(b"\n", 2), b""][:2])
        if self._is_spaced:
            if not re.fullmatch(r"\d{1,12}", first):
                raise self._file.error(f"expected the number of images, not '{shown(first)[:40]}'", 1)
            return 2, ["name", *second.split()]
        try:
            header = [name.strip() for name in next(csv.reader([first]), [])]
        except csv.Error as error:
            raise self._file.error(str(error), 1) from None
        return 1, [header[0], only] if only and len(header) == 2 else header

    def _check_header(self) -> None:
        header = self._header
        repeated = [name for name, num in Counter(header).items() if num > 1]
        if len(header) > MAX_COLUMNS:
            wrong = f"{len(header)} columns (the limit is {MAX_COLUMNS})"
        elif self._file.kind in _ONLY_COLUMN and len(header) != 2:
            wrong = f"{len(header)} columns instead of 2"
        elif len(header) < 2:
            wrong = "expected the names of the columns, the image's first"
        elif "" in header[1:]:
            wrong = f"column {header.index('', 1) + 1} has no name"
        elif repeated:
            wrong = f"two columns are called '{shown(repeated[0])}'"
        else:
            return
        raise self._file.error(wrong, self._num_lines)

    def _read_rows(self) -> "pa.Table":
        import pyarrow as pa

        types = {self._header[0]: pa.string(), "partition": pa.string()}
        if self._file.kind == _ATTRIBUTES:
            types |= dict.fromkeys(self._header[1:], pa.int8())
        elif self._file.kind == _IDENTITY:
            types["identity"] = pa.int64()
        table = self._read_csv(types)
        # Dates and the like, which Arrow recognises, stay text.
        odd = [field.name for field in table.schema if not is_plain(field.type)]
        return self._read_csv(types | dict.fromkeys(odd, pa.string())) if odd else table

    def _read_csv(self, types: "dict[str, pa.DataType]") -> "pa.Table":
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        body = [*self._content.split(b"\n", self._num_lines), b""][self._num_lines]
        if not body.strip():
            raise self._file.error("no rows follow" if self._num_lines else "it is empty", self._num_lines or None)
        invalid: list[Any] = []
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(body),
                arrow_csv.ReadOptions(use_threads=False, column_names=self._header),
                arrow_csv.ParseOptions(
                    delimiter=" " if self._is_spaced else ",",
                    invalid_row_handler=lambda row: invalid.append(row) or "error",  # type: ignore[func-returns-value]
                ),
                arrow_csv.ConvertOptions(
                    column_types=types, null_values=["", "NA", "nan", "NaN"], strings_can_be_null=True
                ),
            )
        except pa.ArrowInvalid as error:
            if invalid:
                what = f"{invalid[0].actual_columns} columns instead of {invalid[0].expected_columns}"
                raise self._error(what, invalid[0].number - 1) from None
            words = shown(one_line(error))[:160]
            place = re.match(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", words)
            what = f"{place[3]} (in '{shown(self._header[int(place[1])])}')" if place else words
            raise self._error(what, int(place[2]) - 1 if place and place[2] else None) from None

    def _error(self, what: str, row: int | None) -> DataError:
        """Return the error about a row; empty lines are not rows."""
        lines = enumerate(self._content.split(b"\n"), start=1)
        numbers = [line for line, text in lines if line > self._num_lines and text]
        return self._file.error(what, None if row is None else numbers[min(row, len(numbers) - 1)])


def _single_spaces(content: bytes) -> bytes:
    """Reduce spaces and tabs to one space between words, and remove those at either end of a line."""
    content = content.replace(b"\t", b" ")
    while b"  " in content:
        content = content.replace(b"  ", b" ")
    return content.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")


def _content(path: Path) -> bytes | DataError:
    try:
        return too_large(path.stat().st_size) or path.read_bytes()
    except OSError as error:
        return DataError(f"cannot be read ({error.strerror or error})")


def _match(file: AnnotationFile, keys: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Return the row of each image that has one: by path, else by file name where that is unique on both sides."""
    rows = {file.path_of(key): row for row, key in enumerate(keys)}
    matched = {name: rows[name] for name in names if name in rows}
    if len(matched) == len(names):
        return matched
    key_of = _unique_file_names(keys)
    for base, name in _unique_file_names(names).items():
        key = key_of.get(base)
        if key is not None and name not in matched and not ("/" in key and "/" in name):
            matched[name] = rows[file.path_of(key)]
    return matched


def _unique_file_names(paths: Sequence[str]) -> dict[str, str]:
    """Return the path of each file name that only one path has."""
    bases = [path.rpartition("/")[2] for path in paths]
    counts = Counter(bases)
    return {base: path for base, path in zip(bases, paths, strict=True) if counts[base] == 1}
