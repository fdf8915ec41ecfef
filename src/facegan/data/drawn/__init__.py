"""Built-in drawn faces: portraits drawn from seeded attributes, so that nothing needs to be downloaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from ..source import fingerprint_of
from .attributes import draw_attributes
from .render import DRAWING_VERSION, render

__all__ = ["DrawnFaces", "DrawnSource"]

_BATCH_PIXELS = 512 * 64 * 64  # rendered at a time: 512 faces of 64 x 64, 8 of 512 x 512


class DrawnFaces(BaseModel):
    """Cartoon portraits drawn from seeded attributes: face i depends on the seed and i alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(default=20_000, ge=1, le=10_000_000, description="number of faces")
    seed: int = Field(default=0, description="seed of the faces; another seed draws other people")

    def open(self) -> DrawnSource:
        """Return the images; nothing is drawn until they are read."""
        return DrawnSource(self.num_images, self.seed)


class DrawnSource:
    """The drawn faces as an opened source of images, which are square; they are best drawn `chunk` at a time."""

    crop: str = "none"
    chunk = 128

    def __init__(self, num_images: int, seed: int) -> None:
        self.names: Sequence[str] = _Names(num_images)
        self._seed = seed

    def attributes(self, names: Sequence[str]) -> dict[str, list[str | int | float | bool]]:
        """Return one column per attribute, aligned with the names: words, numbers or booleans."""
        return draw_attributes(self._seed, self._indices(names)).columns()

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash everything that the images depend on: the drawing's version, the seed and the names."""
        return fingerprint_of(f"drawn faces, version {DRAWING_VERSION}, seed {self._seed}".encode(), names)

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Image.Image]]:
        """Draw the named faces and yield (name, RGB image of resolution x resolution), in the order of the names.

        Raises:
            ValueError: The resolution is outside 16..512, or a name is not one of these faces.
        """
        indices = self._indices(names)
        step = max(1, _BATCH_PIXELS // max(1, resolution**2))  # `render` refuses 0
        for start in range(0, len(indices), step):
            batch = slice(start, start + step)
            images = render(draw_attributes(self._seed, indices[batch]), resolution)
            for name, image in zip(names[batch], images, strict=True):
                yield name, Image.fromarray(image)

    def _indices(self, names: Sequence[str]) -> NDArray[np.int64]:
        return np.array([self._index(name) for name in names], dtype=np.int64)

    def _index(self, name: str) -> int:
        digits = name[6:-4]
        index = int(digits) if digits.isdecimal() else -1
        if not 0 <= index < len(self.names) or self.names[index] != name:
            raise ValueError(
                f"drawn: no face is named {name!r}; the names run from {self.names[0]} to {self.names[-1]}"
            )
        return index


class _Names(Sequence[str]):
    """The names of the faces, made when asked for: ten million of them take no memory."""

    def __init__(self, num_images: int) -> None:
        self._range = range(num_images)
        self._width = max(5, len(str(num_images - 1)))

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[index] for index in self._range[place]]
        return f"drawn-{self._range[place]:0{self._width}d}.png"
