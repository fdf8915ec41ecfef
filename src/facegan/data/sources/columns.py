"""Columns of what is known of images, kept compactly, handed out as plain lists."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

MAX_COLUMNS = 4096
PARTS = ("train", "val", "test")
_OTHER_WORDS = {"0": "train", "1": "val", "2": "test", "valid": "val", "validation": "val", "dev": "val"}


@dataclass(frozen=True, eq=False)
class Column:
    """One attribute of many images.

    Attributes:
        values: One value a row: booleans or numbers, or codes into `words`.
        missing: Which rows have no value; None: each has one.
        words: What codes stand for; None: the values are booleans or numbers.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None
    words: list[Any] | None = None

    def take(self, rows: NDArray[np.int64]) -> list[Any]:
        """The values of these rows, each a bool, int, float or str, or None where there is none; row -1 has none."""
        taken: list[Any] = self.values[rows].tolist()
        if self.words is not None:
            taken = [self.words[code] for code in taken]
        gaps = rows < 0 if self.missing is None else (rows < 0) | self.missing[rows]
        for place in np.flatnonzero(gaps):
            taken[place] = None
        return taken


def part(word: str) -> str:
    """A word for a part of the official partition as train, val or test; any other word stays as it is."""
    return _OTHER_WORDS.get(word.lower(), word.lower() if word.lower() in PARTS else word)


def as_partition(column: Column) -> Column:
    """A column of text with its words as `part` has them."""
    return Column(column.values, column.missing, [word and part(word) for word in column.words or []])


def is_plain(type: "pa.DataType") -> bool:
    """Whether a column of this type holds booleans, numbers or text."""
    import pyarrow.types as types

    if types.is_dictionary(type):
        type = type.value_type
    known = (types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    return any(kind(type) for kind in known)


def column_of(array: "pa.ChunkedArray") -> Column:
    """A column of booleans, numbers or text; what is null or not a number counts as missing."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    missing = np.asarray(array.is_null(nan_is_null=True).combine_chunks())
    words = None
    if not (types.is_boolean(array.type) or types.is_integer(array.type) or types.is_floating(array.type)):
        coded = array if types.is_dictionary(array.type) else pc.dictionary_encode(array)
        coded = coded.unify_dictionaries().combine_chunks()
        coded = coded if isinstance(coded, pa.Array) else coded.chunk(0)
        words, array = coded.dictionary.to_pylist() or [None], coded.indices
    filled = pc.fill_null(array, False if types.is_boolean(array.type) else 0)
    return Column(np.asarray(filled), missing if missing.any() else None, words)
