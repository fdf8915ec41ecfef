"""Which of a source's pictures are used: everything, the training part or the held-out part, up to a limit."""

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from ..config import DataConfig
from ..errors import DataError
from .pictures import Pictures, encoded

_HELD_OUT_FROM = 2**64 * 9 // 10


def select(pictures: Pictures, data: DataConfig) -> list[str]:
    """The names that `data.split` and then `data.limit` leave, in their order.

    People (the pictures' parent folders) are never divided between train and heldout; in a flat source, with fewer
    than two such folders, each picture stands for itself. Nobody changes sides when others are added.

    Raises:
        DataError: Nothing is left.
    """
    names: Sequence[str] = pictures.names
    if data.split != "all":
        people = [PurePosixPath(name).parent.name for name in names]
        flat = len(set(people)) < 2
        owners = [PurePosixPath(name).stem for name in names] if flat else people
        held = {owner: _is_held_out(owner) for owner in set(owners)}
        wanted = data.split == "heldout"
        names = [name for name, owner in zip(names, owners, strict=True) if held[owner] == wanted]
        if not names:
            raise DataError(
                f"{data.source}: no picture falls into data.split = {data.split} "
                f"(of {len(held)} {'pictures' if flat else 'sub-folders'}); give more, or data.split = all"
            )
    return list(names[: data.limit or None])


def _is_held_out(owner: str) -> bool:
    """Whether the hash of a person's or picture's name lies in the last tenth of the range."""
    return int.from_bytes(hashlib.sha256(encoded(owner)).digest()[:8], "big") >= _HELD_OUT_FROM
