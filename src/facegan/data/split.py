"""Which of a source's images are used: a part of them, those with certain attributes, up to a limit."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import compress
from pathlib import PurePosixPath
from typing import Any

from ..config import Condition, DataConfig, parse_where
from ..errors import DataError
from ..messages import nearest
from .source import ImageSource, encoded

_CHUNK = 2**15  # images whose attributes are in memory at a time


def select(pictures: ImageSource, data: DataConfig) -> list[str]:
    """The names that `data.split`, then `data.where`, then `data.limit` leave, in their order.

    A source with the attribute `partition` (train, val, test) is split by it, and heldout is all but train. Any other
    is split by a stable hash: people (the images' parent folders) are never divided between train and heldout; in a
    flat source, with fewer than two such folders, each image stands for itself. Nobody changes sides when others are
    added.

    Raises:
        DataError: Nothing is left, or the source does not know what is asked about.
    """
    names: Sequence[str] = pictures.names
    if data.split != "all":
        official = "partition" in _known(pictures)
        names = _official(pictures, data) if official else _by_hash(pictures, data)
    if data.where:
        names = _where(pictures, names, data)
    return list(names[: data.limit or None])


def _known(pictures: ImageSource) -> dict[str, list[Any]]:
    """The attributes that there are, with the first image's values."""
    return pictures.attributes(pictures.names[:1])


def _official(pictures: ImageSource, data: DataConfig) -> list[str]:
    parts: set[str] = set()
    chosen: list[str] = []
    for names, columns in _in_chunks(pictures, pictures.names):
        parts.update(filter(None, columns["partition"]))
        wanted = (part != "train" if data.split == "heldout" else part == data.split for part in columns["partition"])
        chosen += compress(names, wanted)
    if not chosen:
        raise DataError(
            f"{data.source}: no image is in data.split = {data.split} of its official partition "
            f"(it has: {', '.join(sorted(parts)) or 'no part'}); give more, or data.split = all"
        )
    return chosen


def _by_hash(pictures: ImageSource, data: DataConfig) -> list[str]:
    if data.split not in ("train", "heldout"):
        raise DataError(
            f"{data.source}: data.split = {data.split}, but its images have no official partition; take train or "
            "heldout (90 % and 10 %), or put CelebA's list_eval_partition.txt or an attributes.csv with a column "
            "'partition' beside them"
        )
    names = pictures.names
    people = owners(names)
    held = {person: is_held_out(person) for person in set(people)}
    wanted = data.split == "heldout"
    chosen = [name for name, person in zip(names, people, strict=True) if held[person] == wanted]
    if not chosen:
        flat = people[0] == PurePosixPath(names[0]).stem
        raise DataError(
            f"{data.source}: no image falls into data.split = {data.split} "
            f"(of {len(held)} {'pictures' if flat else 'sub-folders'}); give more, or data.split = all"
        )
    return chosen


def owners(names: Sequence[str]) -> list[str]:
    """Whose each image is: its parent folder's; in a flat source, with fewer than two of them, its own."""
    people = [PurePosixPath(name).parent.name for name in names]
    return [PurePosixPath(name).stem for name in names] if len(set(people)) < 2 else people


def is_held_out(owner: str, *, share: int = 10, salt: str = "") -> bool:
    """Whether the hash of a person's or image's name lies in the last 1 / `share` of the range.

    Another salt gives another choice, which has nothing to do with the first.
    """
    number = int.from_bytes(hashlib.sha256(salt.encode() + encoded(owner)).digest()[:8], "big")
    return number >= 2**64 * (share - 1) // share


def _where(pictures: ImageSource, names: Sequence[str], data: DataConfig) -> list[str]:
    conditions = parse_where(data.where)
    known = list(_known(pictures))
    if not known:
        raise DataError(
            f"{data.source}: data.where is '{data.where}', but nothing is known of these images; "
            "put an attributes.csv (or CelebA's list_attr_celeba.txt) beside them"
        )
    for condition in conditions:
        if condition.attribute not in known:
            raise DataError(
                f"{data.source}: data.where: there is no attribute '{condition.attribute}'; "
                f"{nearest(condition.attribute, known)}"
            )
    chosen: list[str] = []
    for chunk, columns in _in_chunks(pictures, names):
        held = [_holds(condition, columns[condition.attribute], data.source) for condition in conditions]
        chosen += compress(chunk, map(all, zip(*held, strict=True)))
    if not chosen:
        raise DataError(f"{data.source}: none of {len(names)} images has data.where = '{data.where}'; ask for less")
    return chosen


def _holds(condition: Condition, column: Sequence[Any], source: str) -> list[bool]:
    try:
        answers = {value: condition.holds(value) for value in set(column)}
    except ValueError as error:
        raise DataError(f"{source}: data.where: {error}") from None
    return [answers[value] for value in column]


def _in_chunks(pictures: ImageSource, names: Sequence[str]) -> Iterator[tuple[Sequence[str], dict[str, list[Any]]]]:
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        yield chunk, pictures.attributes(chunk)
