"""Attributes of images from text files: CelebA's, their CSV copies, or anyone's attributes.csv.

The first column of a file names an image: by its path in the source, or by its file name alone where that is unique;
failing that, without regard to its ending, then to case. CelebA's .txt files have layouts of their own; a .csv file
names its columns in its first line.
"""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..images.decode import READING
from ..messages import counted, one_line
from .source import Delivered, read_file, shown

if TYPE_CHECKING:
    import pyarrow as pa

MAX_COLUMNS = 4096
# The words for the parts of an official partition.
PARTS = {"train": "train", "0": "train", "test": "test", "2": "test"} | dict.fromkeys(
    ("val", "1", "valid", "validation", "dev"), "val"
)
_ATTRIBUTES, _PARTITION, _IDENTITY = "list_attr_celeba", "list_eval_partition", "identity_CelebA"
_NAMES = (
    *(f"{kind}{suffix}" for kind in (_ATTRIBUTES, _PARTITION, _IDENTITY) for suffix in (".txt", ".csv")),
    "attributes.csv",
)
_AROUND = ("", "Anno", "Eval")  # the folders of CelebA's files next to that of its images, `Img`
_INDEX_COLUMNS = ("", "Unnamed: 0")  # how pandas heads the row numbers that it writes
_ONLY_COLUMN = {_PARTITION: "partition", _IDENTITY: "identity"}


@dataclass(frozen=True)
class AnnotationFile:
    """A file that may hold attributes of a source's images; its name determines its layout."""

    name: str
    where: str  # its name in messages
    read: Callable[[], Delivered]
    stamp: bytes = b""  # changes when its content may have changed
    prefix: str = ""  # added in front of its names to give the source's
    surplus: str = ""  # removed from the front of its names where present
    since: int = 1  # the version of `data.reading` that finds it

    def path_of(self, key: str) -> str:
        """Return the path in the source of an image that the file names."""
        return self.prefix + key.removeprefix("./").removeprefix(self.surplus)

    def table(self) -> "pa.Table":
        """Read the file: the images' names in the first column, then their attributes."""
        content = self.read()
        if not isinstance(content, bytes):
            raise DataError(f"{self.where}: {content}")
        try:
            return parse(self.name, content)
        except (ValueError, csv.Error) as error:
            raise self.error(one_line(error)) from None

    def error(self, what: str) -> DataError:
        """Return the error for a malformed file."""
        return DataError(f"{self.where}: {shown(what)}; fix the file, or move it away to do without")


class Annotations:
    """The attributes that a source's annotation files hold; the files are read on first use.

    Of several files of one kind the first counts.
    """

    def __init__(self, files: Iterable[AnnotationFile], names: Sequence[str], reading: int = READING) -> None:
        """Take the files that were found, the nearest to the images first, and the names of all images.

        `reading` 1 finds and matches what older versions did, because the split of their runs depends on it.
        """
        self._kinds = (_base, _stem, lambda path: _stem(path).casefold())[: 1 if reading == 1 else None]
        self._files: dict[str, AnnotationFile] = {}
        for file in files:
            if file.since <= reading:
                self._files.setdefault(file.name.rpartition(".")[0], file)
        self.stamp = b"".join(b"\n" + hashlib.sha256(file.stamp).digest() for file in self._files.values())
        self.notes: list[str] = []  # how many images each file knows, once they are read
        self._places = {name: place for place, name in enumerate(names)}
        self._table: pa.Table | None = None  # a row for each image

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return one column per attribute, aligned with the names; None where an image has no value."""
        if self._table is None:
            self._table = self._read()
        return take_rows(self._table, [self._places[name] for name in names])

    def _read(self) -> "pa.Table":
        import pyarrow as pa

        last: tuple[object, ...] = ()
        rows: list[int | None] = []
        columns: dict[str, pa.ChunkedArray] = {}
        for file in self._files.values():
            table = file.table()
            keys = table[0].to_pylist()
            if last != (last := (keys, file.prefix, file.surplus)):  # CelebA's files all list the same images
                rows = _match(file, keys, list(self._places), self._kinds)
            num_known = len(rows) - rows.count(None)
            if not num_known:  # its images are others
                ours, theirs = (", ".join(map(shown, sorted(each)[:2])) for each in (self._places, filter(None, keys)))
                self.notes.append(
                    f"{file.where}: knows none of the images, which are {ours}, ...; it has {theirs}, ..."
                )
                continue
            self.notes.append(f"{file.where}: has attributes of {num_known:,} of {counted(len(rows), 'image')}")
            found = normalize(table.remove_column(0)).take(pa.array(rows, pa.int64()))
            if twice := columns.keys() & set(found.column_names):
                raise file.error(f"the column '{twice.pop()}' is in another annotation file too")
            columns |= zip(found.column_names, found.columns, strict=True)
        return pa.table(columns)


def is_annotation(name: str) -> bool:
    """Return whether a '/'-separated path is an annotation file by its name."""
    return name.rpartition("/")[2] in _NAMES


def in_folder(folder: Path, *, surplus: str = "", since: int = 1) -> list[AnnotationFile]:
    """Return the annotation files in a folder, and where CelebA has its own; `surplus` leads from there to the images.

    Those are the folder's Anno and Eval, and a folder celeba in it, which torchvision makes.
    """
    places = [folder / part for part in _AROUND] + [folder / name for name in ("celeba", "CelebA")]
    names = {place: _NAMES if place == folder else _NAMES[:-1] for place in places}
    found = []
    for path in (place / name for place in places for name in names[place]):
        name = path.name
        try:
            status = path.stat()
        except OSError:
            continue
        stamp = os.fsencode(path) + b" %d %d" % (status.st_size, status.st_mtime_ns)
        version = since if path.parent == folder else 2
        read = partial(read_file, str(path))
        found.append(AnnotationFile(name, str(path), read, stamp, surplus=surplus, since=version))
    return found


def next_to(path: Path) -> list[AnnotationFile]:
    """Return the annotation files in the folder that holds a path, as given and with links resolved.

    Where that folder is called Img, CelebA's own are in Anno and Eval next to it.
    """
    found = []
    for place in dict.fromkeys((path.absolute(), path.resolve())):
        found += in_folder(place.parent, surplus=f"{place.name}/")
        if place.parent.name.lower() == "img":
            found += in_folder(place.parent.parent, since=2)
    return found


def parse(name: str, content: bytes) -> "pa.Table":
    """Return the rows of an annotation file of this name: the images' names, then a column per attribute.

    Raises:
        ValueError: A row or a value is malformed.
        csv.Error: The first line is.
    """
    kind, _, suffix = name.rpartition(".")
    content = content.removeprefix(b"\xef\xbb\xbf")
    heading = content.partition(b"\n")[0].decode("utf-8", "replace")
    delimiter = max(",;\t", key=heading.count) if suffix == "csv" else " "
    if delimiter == " ":
        content = _single_spaces(content)
    first, second = (line.decode().strip() for line in [*content.split(b"\n", 2), b""][:2])
    num_lines, header = 0, ["name"]  # lines before the rows, and names of the columns
    if suffix == "csv":
        num_lines, header = 1, [column.strip() for column in next(csv.reader([first], delimiter=delimiter), [])]
    elif kind == _ATTRIBUTES:
        num_lines, header = 2, ["name", *second.split()]
        if not first.isdecimal():
            raise ValueError(f"line 1 is '{first[:40]}', not the number of images")
    if kind in _ONLY_COLUMN:
        header = [*header[:1], _ONLY_COLUMN[kind]]
    table = _read_rows(content, header, num_lines, kind, delimiter)
    if not len(table):
        raise ValueError("no rows follow its first lines")
    if num_lines == 2 and int(first) != len(table):
        raise ValueError(f"line 1 says {counted(int(first), 'image')}, but {len(table):,} follow")
    return _convert(table, kind)


def _read_rows(content: bytes, header: list[str], num_lines: int, kind: str, delimiter: str) -> "pa.Table":
    """Read the rows after the first lines; the columns get the types that their values show."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    if not 2 <= len(header) <= MAX_COLUMNS:
        raise ValueError(
            f"{counted(len(header), 'column')}; it must have 2 to {MAX_COLUMNS}, the first of which names the image"
        )
    if "" in header[1:]:
        raise ValueError(f"column {header.index('', 1) + 1} has no name")
    if len(set(header)) < len(header):
        raise ValueError(f"two columns are called '{Counter(header).most_common(1)[0][0]}'")

    def read(types: dict[str, Any], decimal_point: str = ".") -> "pa.Table":
        table = arrow_csv.read_csv(
            pa.BufferReader(content),
            arrow_csv.ReadOptions(use_threads=False, column_names=header, skip_rows=num_lines),
            arrow_csv.ParseOptions(delimiter=delimiter),
            arrow_csv.ConvertOptions(
                column_types=types,
                null_values=["", "NA", "nan", "NaN"],
                strings_can_be_null=True,
                decimal_point=decimal_point,
            ),
        )
        return table.remove_column(0) if is_indexed else table

    types = dict.fromkeys(header[1:], pa.int8()) if kind == _ATTRIBUTES else {"partition": pa.string()}
    is_indexed = header[0] in _INDEX_COLUMNS and len(header) > 2  # numbers of rows, which name no image
    types[header[is_indexed]] = pa.string()
    table = read(types)
    odd = [field.name for field in table.schema if not is_plain(field.type)]  # dates and the like stay text
    table = read(types | dict.fromkeys(odd, pa.string())) if odd else table
    if delimiter == ";":  # of spreadsheets in languages that write 1,5
        by_comma = read(types, ",")
        for place, field in enumerate(by_comma.schema):
            if pa.types.is_floating(field.type) and pa.types.is_string(table.schema[place].type):
                table = table.set_column(place, field, by_comma.columns[place])
    return table


def _convert(table: "pa.Table", kind: str) -> "pa.Table":
    """Return the table with CelebA's 1 and -1 as booleans, after a check of its names and values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = table[0].to_pylist()
    for key, num in Counter(keys).items():
        if key is None or num > 1:
            raise ValueError(f"'{key}' is listed more than once" if key else "a row names no image")
    columns = table.columns
    known: list[Any]
    for place, name in enumerate(table.column_names[1:], start=1):
        if kind == _ATTRIBUTES:
            column, known, meaning = columns[place], [1, -1], "1 or -1"
            columns[place] = pc.greater(column, 0)
        elif name == "partition":
            column, known, meaning = pc.utf8_lower(columns[place]), [*PARTS, None], "train, val or test (0, 1, 2)"
        else:
            continue
        row = pc.index(pc.is_in(column, pa.array(known, column.type)), False).as_py()
        if row >= 0:
            raise ValueError(f"'{name}' of '{keys[row]}' is '{column[row]}'; it must be {meaning}")
    return pa.table(columns, table.column_names)


def _single_spaces(content: bytes) -> bytes:
    """Reduce spaces and tabs to one space between words; splitting every line takes 2.5 times as long."""
    content = content.replace(b"\r\n", b"\n").replace(b"\t", b" ")
    while b"  " in content:
        content = content.replace(b"  ", b" ")
    return content.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")


def _match(
    file: AnnotationFile, keys: Sequence[str], names: Sequence[str], kinds: Sequence[Callable[[str], str]]
) -> list[int | None]:
    """Return the row of each image that has one: by path, else by what is unique on both sides.

    That is what the kinds make of both paths: the file name, the name without its ending, that in any case.
    """
    rows = {file.path_of(key): row for row, key in enumerate(keys)}
    if len(kinds) > 1:
        keys = [key.replace("\\", "/") for key in keys]  # as Windows writes paths; exact names have been found
    for kind in kinds:
        missing = [name for name in names if name not in rows]
        if not missing:
            break
        row_of = _unique(kind, enumerate(keys))
        for word, name in _unique(kind, ((name, name) for name in names)).items():
            row = row_of.get(word)
            if row is not None and ("/" not in keys[row] or "/" not in name):
                rows.setdefault(name, row)
    return [rows.get(name) for name in names]


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(path: str) -> str:
    """Return a file name without the ending that an image has; `1.2` has none."""
    stem, point, ending = _base(path).rpartition(".")
    return stem if point and ending.isalnum() and not ending.isdecimal() else _base(path)


def _unique(kind: Callable[[str], str], paths: Iterable[tuple[Any, str]]) -> dict[str, Any]:
    """Return what belongs to each word that only one path has."""
    pairs = [(kind(path), value) for value, path in paths]
    counts = Counter(word for word, _ in pairs)
    return {word: value for word, value in pairs if counts[word] == 1}


def is_plain(type: "pa.DataType") -> bool:
    """Return whether a column of this type holds booleans, numbers or text."""
    import pyarrow.types as types

    type = type.value_type if types.is_dictionary(type) else type
    known = (types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    return any(kind(type) for kind in known)


def normalize(table: "pa.Table") -> "pa.Table":
    """Return columns of booleans, numbers and text with null for NaN, each word once, and the parts' usual names."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if types.is_floating(column.type):
            column = pc.if_else(column.is_null(nan_is_null=True), None, column)
        if name == "partition":
            words = _values(column if types.is_dictionary(column.type) else column.cast(pa.string()))
            column = pa.array([word and PARTS.get(word.lower(), word) for word in words], pa.string())
        columns[name] = column if types.is_primitive(column.type) else pc.dictionary_encode(column)
    return pa.table(columns).unify_dictionaries().combine_chunks()


def take_rows(table: "pa.Table", rows: Sequence[int]) -> dict[str, list[Any]]:
    """Return the columns of these rows: booleans, numbers or text, None where missing."""
    import pyarrow as pa

    taken = table.take(pa.array(rows, pa.int64()))
    return {name: _values(column) for name, column in zip(taken.column_names, taken.columns, strict=True)}


def _values(column: "pa.ChunkedArray") -> list[Any]:
    """Return the values; those of a dictionary share their words, which Arrow would copy in 40 times the time."""
    if not hasattr(column.type, "value_type"):
        return list(column.to_pylist())
    values: list[Any] = []
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        values += [None if code is None else words[code] for code in chunk.indices.to_pylist()]
    return values
