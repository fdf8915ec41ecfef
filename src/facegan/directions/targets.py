"""What is known of images, as questions with the answers yes and no that a classifier can learn."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 10  # images on each side that a question needs
MOST_WORDS = 32  # a column of more different words is a name or a remark, not a category
NO_ATTRIBUTES = ("partition", "identity")  # what annotation files say of an image, not of its face


@dataclass(frozen=True, eq=False)
class Targets:
    """Questions about images, and their answers.

    Attributes:
        names: Of the questions, as `--direction` takes them.
        values: float32 (N, questions): 1 yes, 0 no, NaN where it is not known.
        passed_over: Columns and questions that cannot be learned, and why.
    """

    names: list[str]
    values: NDArray[np.float32]
    passed_over: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the questions and all answers, in hex."""
        return hashlib.sha256("\n".join(self.names).encode() + self.values.tobytes()).hexdigest()

    def only(self, names: Sequence[str]) -> "Targets":
        """These questions alone, in their own order."""
        kept = [place for place, name in enumerate(self.names) if name in names]
        return Targets([self.names[place] for place in kept], self.values[:, kept], {})


def questions(columns: Mapping[str, Sequence[Any]]) -> Targets:
    """The questions that columns of attributes answer; None in a column is an answer that is not known.

    - booleans, and numbers of which there are two: whether it is the higher one; the question has the column's name;
    - other numbers: whether it lies above the median; the column's name;
    - words: one question a word, `hair_style=bob`; of two words, the rarer one alone.

    A question with fewer than FEWEST known answers on either side is passed over, and one that another says already.
    """
    known: dict[str, NDArray[np.float32]] = {}
    passed_over: dict[str, str] = {}
    for name, column in columns.items():
        if name in NO_ATTRIBUTES:
            continue
        asked = _of_column(name, column)
        if isinstance(asked, str):
            passed_over[name] = asked
        else:
            known |= asked
    plain_first = sorted(known, key=lambda name: "=" in name)  # glasses, rather than glasses_style=none turned round
    chosen: dict[str, NDArray[np.float32]] = {}
    said: dict[bytes, str] = {}
    for name in plain_first:
        answers = known[name]
        fewest = int(min((answers == 1).sum(), (answers == 0).sum()))
        twin = said.get(answers.tobytes()) or said.get((1 - answers).tobytes())
        if fewest < FEWEST:
            passed_over[name] = f"too few images to learn from ({fewest} of the rarer kind, at least {FEWEST})"
        elif twin is not None:
            passed_over[name] = f"says the same as {twin}"
        else:
            chosen[name] = answers
            said[answers.tobytes()] = name
    values = np.stack(list(chosen.values()), 1) if chosen else np.empty((0, 0), np.float32)
    return Targets(list(chosen), values, passed_over)


def _of_column(name: str, column: Sequence[Any]) -> dict[str, NDArray[np.float32]] | str:
    """The questions of one column, or why there is none."""
    missing = np.array([value is None for value in column], bool)
    present = {value for value in column if value is not None}
    if len(present) < 2:
        return "it is the same for all images" if present else "it is known of no image"
    if all(isinstance(value, int | float) for value in present):
        numbers = np.array([np.nan if value is None else value for value in column], np.float64)
        middle = min(present) if len(present) == 2 else np.median(numbers[~missing])
        return {name: np.where(missing, np.nan, numbers > middle).astype(np.float32)}
    if len(present) > MOST_WORDS:
        return f"it has {len(present):,} different words (at most {MOST_WORDS})"
    words = sorted(present, key=lambda word: (column.count(word), word))
    return {
        f"{name}={word}": np.where(missing, np.nan, [value == word for value in column]).astype(np.float32)
        for word in (words[:1] if len(words) == 2 else words)
    }
