"""Attributes of images as binary labels, which a classifier can learn."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_EACH = 10  # images with, and without, that a label needs
MAX_WORDS = 32  # a column of more different words is a name or a remark, not a category
NO_ATTRIBUTES = ("partition", "identity")  # columns of annotation files that say nothing about a face


@dataclass(frozen=True, eq=False)
class AttributeLabels:
    """Binary labels of images."""

    names: list[str]  # as `--direction` takes them
    values: NDArray[np.float32]  # (N, labels): 1 yes, 0 no, NaN unknown
    skipped: dict[str, str]  # columns and labels that cannot be learned, and why

    @property
    def digest(self) -> str:
        """SHA-256 of the names and all values, in hex."""
        return hashlib.sha256("\n".join(self.names).encode() + self.values.tobytes()).hexdigest()


def binary_labels(columns: Mapping[str, Sequence[Any]]) -> AttributeLabels:
    """Convert columns of attributes to binary labels; None in a column is an unknown value.

    - booleans, and numbers with two values: whether it is the higher one; the label has the column's name;
    - other numbers: whether it is above the median; the label has the column's name;
    - words: one label per word, `hair_style=bob`; of two words, only the rarer one.

    A label with fewer than MIN_EACH known images on either side is skipped, as is one that equals another.
    """
    candidates: dict[str, NDArray[np.float32]] = {}
    skipped: dict[str, str] = {}
    for name, column in columns.items():
        labels = _labels_of(name, column) if name not in NO_ATTRIBUTES else {}
        if isinstance(labels, str):
            skipped[name] = labels
        else:
            candidates |= labels
    chosen: dict[str, NDArray[np.float32]] = {}
    seen: dict[bytes, str] = {}
    for name in sorted(candidates, key=lambda name: "=" in name):  # glasses, rather than glasses_style=none inverted
        values = candidates[name]
        rarer = int(min((values == 1).sum(), (values == 0).sum()))
        twin = seen.get(values.tobytes()) or seen.get((1 - values).tobytes())
        if rarer < MIN_EACH:
            skipped[name] = f"too few images to learn from ({rarer} of the rarer kind, at least {MIN_EACH})"
        elif twin is not None:
            skipped[name] = f"means the same as {twin}"
        else:
            chosen[name] = values
            seen[values.tobytes()] = name
    values = np.stack(list(chosen.values()), 1) if chosen else np.empty((0, 0), np.float32)
    return AttributeLabels(list(chosen), values, skipped)


def _labels_of(name: str, column: Sequence[Any]) -> dict[str, NDArray[np.float32]] | str:
    """Return the labels of one column, or the reason why there are none."""
    missing = np.array([value is None for value in column], bool)
    present = {value for value in column if value is not None}
    if len(present) < 2:
        return "it is the same for all images" if present else "it is unknown for all images"
    if all(isinstance(value, int | float) for value in present):
        numbers = np.array([np.nan if value is None else value for value in column], np.float64)
        middle = min(present) if len(present) == 2 else np.median(numbers[~missing])
        return {name: np.where(missing, np.nan, numbers > middle).astype(np.float32)}
    if len(present) > MAX_WORDS:
        return f"it has {len(present):,} different words (at most {MAX_WORDS})"
    words = sorted(present, key=lambda word: (column.count(word), word))
    return {
        f"{name}={word}": np.where(missing, np.nan, [value == word for value in column]).astype(np.float32)
        for word in (words[:1] if len(words) == 2 else words)
    }
