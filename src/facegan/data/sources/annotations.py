"""What is known of images beside their pixels: CelebA's text files, the CSV copies of them, anyone's attributes.csv.

The first column of each file is the name of an image: its path in the source, or its file name alone where only one
image has it.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..source import shown, too_large
from .columns import Column
from .tables import KINDS, AnnotationFile, parse


class Annotations:
    """What the annotation files of one source say of its images; they are read when that is first asked for."""

    def __init__(self, files: Iterable[AnnotationFile], names: Sequence[str]) -> None:
        """Take the first file of each kind.

        Args:
            files: Those that were found, the nearest to the images first.
            names: Of all images of the source.
        """
        self._files: dict[str, AnnotationFile] = {}
        for file in files:
            self._files.setdefault(KINDS[file.name], file)
        self.stamp = b"".join(b"\n" + hashlib.sha256(file.stamp).digest() for file in self._files.values())
        self._names = names
        self._tables: list[tuple[dict[str, int], dict[str, Column]]] | None = None

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """One column per attribute, aligned with the names; None where nothing is said of an image.

        Raises:
            DataError: A file is malformed or too large; its line is named.
        """
        if self._tables is None:
            self._tables = self._read()
        table: dict[str, list[Any]] = {}
        for known, columns in self._tables:
            rows = np.fromiter((known.get(name, -1) for name in names), np.int64, len(names))
            table |= {key: column.take(rows) for key, column in columns.items()}
        return table

    def _read(self) -> list[tuple[dict[str, int], dict[str, Column]]]:
        tables: list[tuple[dict[str, int], dict[str, Column]]] = []
        matches: list[tuple[list[str], tuple[str, str], dict[str, int]]] = []
        owners: dict[str, AnnotationFile] = {}
        for file in self._files.values():
            keys, columns = parse(file)
            paths = file.prefix, file.surplus
            same = (rows for known, place, rows in matches if place == paths and known == keys)
            rows = next(same, None) or _match(keys, self._names, file)
            matches.append((keys, paths, rows))
            if not rows:  # it speaks of other images
                continue
            for name in columns:
                if name in owners:
                    raise file.wrong(f"the column '{shown(name)}' stands in {owners[name].where} too", 1)
                owners[name] = file
            tables.append((rows, columns))
        return tables


def is_annotation(name: str) -> bool:
    """Whether a '/'-separated path is an annotation file by its name."""
    return name.rpartition("/")[2] in KINDS


def on_disk(folder: Path, *, surplus: str = "") -> list[AnnotationFile]:
    """The annotation files that lie in a folder itself.

    Args:
        folder: The folder.
        surplus: The path from there to the images, which may stand in front of the files' names.
    """
    found = []
    for name in KINDS:
        path = folder / name
        try:
            status = path.stat()
        except OSError:
            continue
        stamp = os.fsencode(path) + b" %d %d" % (status.st_size, status.st_mtime_ns)
        found.append(AnnotationFile(name, str(path), partial(_content, path), stamp, surplus=surplus))
    return found


def beside(path: Path) -> list[AnnotationFile]:
    """The annotation files in the folder that holds a path, as it is given and as links lead."""
    places = dict.fromkeys((path.absolute(), path.resolve()))
    return [file for place in places for file in on_disk(place.parent, surplus=f"{place.name}/")]


def _content(path: Path) -> bytes:
    try:
        if refusal := too_large(path.stat().st_size):
            raise DataError(f"{path}: {refusal}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _match(keys: list[str], names: Sequence[str], file: AnnotationFile) -> dict[str, int]:
    """The row of each image that has one: by path, else by file name where that is unique on both sides."""
    paths = {file.place(key): row for row, key in enumerate(keys)}
    rows = {name: paths[name] for name in names if name in paths}
    if len(rows) == len(names):
        return rows
    bases: dict[str, str | None] = {}
    for key in keys:
        base = key.rpartition("/")[2]
        bases[base] = None if base in bases else key
    owners: dict[str, str | None] = {}
    for name in names:
        base = name.rpartition("/")[2]
        owners[base] = None if base in owners else name
    for base, owner in owners.items():
        key_of_base = bases.get(base)
        if owner and key_of_base and owner not in rows and not ("/" in key_of_base and "/" in owner):
            rows[owner] = paths[file.place(key_of_base)]
    return rows
