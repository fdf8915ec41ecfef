"""One file that says something of images, read into columns.

CelebA's text files have their own layouts; a CSV file has the columns' names in its first line.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from ..source import shown
from .columns import MAX_COLUMNS, PARTS, Column, as_partition, column_of, is_plain

if TYPE_CHECKING:
    import pyarrow as pa

_ATTRIBUTES, _PARTITION, _IDENTITY = "list_attr_celeba", "list_eval_partition", "identity_CelebA"
_ANYONES = "attributes"
KINDS = {
    f"{kind}{ending}": kind
    for kind in (_ATTRIBUTES, _PARTITION, _IDENTITY, _ANYONES)
    for ending in (".txt", ".csv")
    if (kind, ending) != (_ANYONES, ".txt")
}


@dataclass(frozen=True)
class AnnotationFile:
    """A file that may say something of a source's images.

    Attributes:
        name: Its file name, which says how it is read.
        where: How messages name it.
        read: Delivers its bytes; may raise DataError.
        stamp: Changes when its content may have changed.
        prefix: What its names lack in front to be the source's.
        surplus: What its names have too much in front.
    """

    name: str
    where: str
    read: Callable[[], bytes]
    stamp: bytes = b""
    prefix: str = ""
    surplus: str = ""

    def place(self, key: str) -> str:
        """The path in the source that one of the file's names stands for."""
        return self.prefix + key.removeprefix("./").removeprefix(self.surplus)

    def wrong(self, what: str, line: int | None = None) -> DataError:
        """The refusal of a malformed file."""
        place = f"{self.where}:{f' line {line}:' if line else ''}"
        return DataError(f"{place} {what}; mend the file, or move it away to go without")


def parse(file: AnnotationFile) -> tuple[list[str], dict[str, Column]]:
    """The names that a file's first column holds, and its other columns."""
    content = file.read().removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise file.wrong("not UTF-8 text", content.count(b"\n", 0, error.start) + 1) from None
    table = _Table(file, content)
    first, *others = table.header
    columns = {}
    for name in others:
        if KINDS[file.name] == _ATTRIBUTES:
            columns[name] = table.truth(name)
        elif name == "partition":
            columns[name] = table.partition()
        elif is_plain(table.rows[name].type):
            columns[name] = column_of(table.rows[name])
    return table.keys(first), columns


class _Table:
    """A file's rows, as Arrow reads them.

    Attributes:
        header: The columns' names, the images' names first.
        rows: The columns.
    """

    def __init__(self, file: AnnotationFile, content: bytes) -> None:
        self._file = file
        self._kind = KINDS[file.name]
        self._spaced = file.name.endswith(".txt")
        self._content = _squeezed(content) if self._spaced else content
        self._num_lines, self.header = self._read_header()
        self._check_header()
        self.rows = self._read()
        if self._spaced and self._kind == _ATTRIBUTES:
            self._check_count()

    def keys(self, name: str) -> list[str]:
        """The first column, each value once."""
        keys: list[str] = self.rows[name].to_pylist()
        seen: set[str | None] = {None, ""}
        for row, key in enumerate(keys):
            if key in seen:
                what = f"'{shown(key)}' stands there for the second time" if key else "the image's name is missing"
                raise self._file.wrong(what, self._line(row + 1))
            seen.add(key)
        return keys

    def truth(self, name: str) -> Column:
        """A column of 1 and -1 as booleans."""
        values = np.asarray(self.rows[name].fill_null(0))
        odd = np.flatnonzero(np.abs(values) != 1)
        if len(odd):
            raise self._file.wrong(f"'{shown(name)}' is neither 1 nor -1", self._line(int(odd[0]) + 1))
        return Column(values > 0)

    def partition(self) -> Column:
        """The column `partition`, of 0, 1, 2 or of words, as train, val and test."""
        column = as_partition(column_of(self.rows["partition"]))
        words = column.words or []
        odd = [code for code, word in enumerate(words) if word is not None and word not in PARTS]
        if odd:
            line = self._line(int(np.flatnonzero(column.values == odd[0])[0]) + 1)
            raise self._file.wrong(
                f"the partition is '{shown(words[odd[0]])[:40]}', not train, val or test (0, 1, 2)", line
            )
        return column

    def _read_header(self) -> tuple[int, list[str]]:
        """How many lines stand in front of the rows, and the columns' names."""
        own = {_PARTITION: "partition", _IDENTITY: "identity"}.get(self._kind)
        if self._spaced and own:
            return 0, ["name", own]
        lines = [line.decode() for line in [*self._content.split(b"\n", 2), b""][:2]]
        if self._spaced:
            if not re.fullmatch(r"\d{1,12}", lines[0]):
                raise self._file.wrong(f"the number of images should stand there, not '{shown(lines[0])[:40]}'", 1)
            return 2, ["name", *lines[1].split()]
        try:
            header = [name.strip() for name in next(csv.reader(lines[:1]), [])]
        except csv.Error as error:
            raise self._file.wrong(str(error), 1) from None
        return 1, [header[0], own] if own and len(header) == 2 else header

    def _check_header(self) -> None:
        line = self._num_lines
        if len(self.header) > MAX_COLUMNS:
            raise self._file.wrong(f"{len(self.header)} columns (the limit is {MAX_COLUMNS})", line)
        if self._kind in (_PARTITION, _IDENTITY) and len(self.header) != 2:
            raise self._file.wrong(f"{len(self.header)} columns instead of 2", line)
        if len(self.header) < 2:
            raise self._file.wrong("the names of the columns should stand there, the image's first", line)
        for place, name in enumerate(self.header):
            if place and not name:
                raise self._file.wrong(f"column {place + 1} has no name", line)
            if name in self.header[:place]:
                raise self._file.wrong(f"two columns are called '{shown(name)}'", line)

    def _check_count(self) -> None:
        claimed = int(self._content.split(b"\n", 1)[0])
        if claimed != len(self.rows):
            raise self._file.wrong(f"it says {claimed:,} images, but {len(self.rows):,} follow", 1)

    def _read(self) -> "pa.Table":
        import pyarrow as pa

        first, *others = self.header
        types = {first: pa.string(), "partition": pa.string()}
        if self._kind == _ATTRIBUTES:
            types |= dict.fromkeys(others, pa.int8())
        elif self._kind == _IDENTITY:
            types["identity"] = pa.int64()
        table = self._arrow(types)
        # Dates and the like, which Arrow recognises, stay the text that they were.
        odd = [field.name for field in table.schema if not is_plain(field.type)]
        return self._arrow(types | dict.fromkeys(odd, pa.string())) if odd else table

    def _arrow(self, types: "dict[str, pa.DataType]") -> "pa.Table":
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        body = [*self._content.split(b"\n", self._num_lines), b""][self._num_lines]
        if not body.strip():
            raise self._file.wrong("no rows follow" if self._num_lines else "it is empty", self._num_lines or None)
        refused = []

        def refuse(row: Any) -> str:
            refused.append(row)
            return "error"

        try:
            return arrow_csv.read_csv(
                pa.BufferReader(body),
                arrow_csv.ReadOptions(use_threads=False, column_names=self.header),
                arrow_csv.ParseOptions(delimiter=" " if self._spaced else ",", invalid_row_handler=refuse),
                arrow_csv.ConvertOptions(
                    column_types=types, null_values=["", "NA", "nan", "NaN"], strings_can_be_null=True
                ),
            )
        except pa.ArrowInvalid as error:
            if refused:
                row = refused[0]
                what = f"{row.actual_columns} columns instead of {row.expected_columns}"
                raise self._file.wrong(what, row.number and self._line(row.number)) from None
            words = shown(" ".join(str(error).split()))[:160]
            place = re.match(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", words)
            if not place:
                raise self._file.wrong(words) from None
            column = self.header[int(place[1])]
            line = self._line(int(place[2])) if place[2] else None
            raise self._file.wrong(f"{place[3]} (in '{shown(column)}')", line) from None

    def _line(self, row: int) -> int:
        """The line of a row, both counted from 1; empty lines are no rows."""
        for line, text in enumerate(self._content.split(b"\n"), start=1):
            row -= line > self._num_lines and bool(text)
            if row == 0:
                return line
        return line


def _squeezed(content: bytes) -> bytes:
    """The same with one space between words, and none at either end of a line."""
    content = content.replace(b"\t", b" ")
    while b"  " in content:
        content = content.replace(b"  ", b" ")
    return content.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")
