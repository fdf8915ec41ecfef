"""Select images of a source: a part of the split, those with certain attributes, up to a limit."""

import hashlib
from collections.abc import Sequence
from itertools import compress
from pathlib import PurePosixPath
from typing import Any

from ..config import Condition, DataConfig, parse_where
from ..errors import DataError
from ..messages import counted, nearest
from .source import ImageSource, encoded


def select(source: ImageSource, data: DataConfig) -> list[str]:
    """Return the names that `data.split`, then `data.where`, then `data.limit` leave, in order.

    A source with the attribute `partition` (train, val, test) is split by it, and heldout is all but train. Any other
    is split by a stable hash of people (the images' parent folders), who are never divided between train and heldout;
    in a flat source, with fewer than two such folders, each image is hashed by itself. Adding images moves none of the
    others to the other side.

    Raises:
        DataError: Nothing is left, or the source lacks an attribute.
    """
    names: Sequence[str] = source.names
    known = source.attributes(names[:1]) if data.split != "all" or data.where else {}
    if data.split != "all":
        names = _official(source, data) if "partition" in known else _by_hash(source, data)
    if data.where:
        names = _where(source, names, data, list(known))
    return list(names[: data.limit or None])


def _official(source: ImageSource, data: DataConfig) -> list[str]:
    parts = source.attributes(source.names)["partition"]
    wanted = [part != "train" if data.split == "heldout" else part == data.split for part in parts]
    if not any(wanted):
        raise DataError(
            f"{data.source}: no image is in data.split = {data.split} of its official partition "
            f"(it has: {', '.join(sorted(set(parts) - {None})) or 'no part'}); give more, or data.split = all"
        )
    return list(compress(source.names, wanted))


def _by_hash(source: ImageSource, data: DataConfig) -> list[str]:
    if data.split not in ("train", "heldout"):
        raise DataError(
            f"{data.source}: data.split = {data.split}, but its images have no official partition; take train or "
            "heldout (90 % and 10 %), or put CelebA's list_eval_partition.txt or an attributes.csv with a column "
            "'partition' next to them"
        )
    names = source.names
    people = owners(names)
    held = {person: is_held_out(person) for person in set(people)}
    wanted = data.split == "heldout"
    chosen = [name for name, person in zip(names, people, strict=True) if held[person] == wanted]
    if not chosen:
        flat = people[0] == PurePosixPath(names[0]).stem
        raise DataError(
            f"{data.source}: no image falls into data.split = {data.split} "
            f"(of {len(held)} {'images' if flat else 'sub-folders'}); give more, or data.split = all"
        )
    return chosen


def owners(names: Sequence[str], within: Sequence[str] = ()) -> list[str]:
    """Return the person of each image: its parent folder; in a flat source, with fewer than two folders, its name.

    `within` holds further names of the same source: it may have folders where the images of `names` share one.
    """
    people = [PurePosixPath(name).parent.name for name in names]
    is_flat = len({*people, *(PurePosixPath(name).parent.name for name in within)}) < 2
    return [PurePosixPath(name).stem for name in names] if is_flat else people


def is_held_out(owner: str, *, share: int = 10, salt: str = "") -> bool:
    """Return whether the hash of a person's or image's name falls into the last 1 / `share` of the range.

    Another salt gives an independent choice.
    """
    number = int.from_bytes(hashlib.sha256(salt.encode() + encoded(owner)).digest()[:8], "big")
    return number >= 2**64 * (share - 1) // share


def _where(source: ImageSource, names: Sequence[str], data: DataConfig, known: list[str]) -> list[str]:
    conditions = parse_where(data.where)
    if not known:
        if notes := getattr(source, "notes", None):
            raise DataError(f"{data.source}: data.where is '{data.where}', but {'; '.join(notes)}")
        raise DataError(
            f"{data.source}: data.where is '{data.where}', but these images have no attributes; "
            "put an attributes.csv (or CelebA's list_attr_celeba.txt) next to them"
        )
    for condition in conditions:
        if condition.attribute not in known:
            raise DataError(
                f"{data.source}: data.where: there is no attribute '{condition.attribute}'; "
                f"{nearest(condition.attribute, known)}"
            )
    columns = source.attributes(names)
    held = [_holds(condition, columns[condition.attribute], data.source) for condition in conditions]
    chosen = list(compress(names, map(all, zip(*held, strict=True))))
    if not chosen:
        raise DataError(
            f"{data.source}: none of {counted(len(names), 'image')} has data.where = '{data.where}'; ask for less"
        )
    return chosen


def _holds(condition: Condition, column: Sequence[Any], source: str) -> list[bool]:
    try:
        answers = {value: condition.holds(value) for value in set(column)}
    except ValueError as error:
        raise DataError(f"{source}: data.where: {error}") from None
    return [answers[value] for value in column]
