"""What every image is made by: a recipe, complete in itself, that any holder of the snapshot can follow again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from ..generator import FaceGenerator

Progress = Callable[[int, int], None]  # (faces drawn, of how many)


def number(value: float) -> str:
    """A number as short as its flag gives it back exactly enough: 0.5, 3, 0.123456789."""
    return f"{value:.15g}"


class Recipe(BaseModel, ABC):
    """A frozen description of an image or an animation; with a snapshot it gives the same pixels again.

    A child has a field `make`, the Literal name of its kind, and registers in `recipes.read`. It holds seeds,
    latents and numbers, never a path: it travels inside of the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    make: str

    @model_serializer(mode="wrap")
    def _named(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Its fields, with `make` even where defaults are left out: it tells `recipes.read` whose they are."""
        return {"make": self.make, **write(self)}

    @property
    def rate(self) -> float | None:
        """Frames a second of a film; None of an image, which has one frame."""
        return None

    @abstractmethod
    def size(self, resolution: int) -> tuple[int, int]:
        """Height and width of a frame in pixels, of faces of `resolution`; a few more where texts need room."""

    @abstractmethod
    def frames(self, generator: FaceGenerator, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """The pixels, uint8 (H, W, 3) or (H, W) each: one frame of an image, many of an animation, all of one size.

        Args:
            generator: Whose faces.
            progress: Called with (faces drawn, of how many).

        Raises:
            SnapshotError: The points are not this generator's, or its images are not finite.
        """

    @abstractmethod
    def flags(self) -> list[str]:
        """The command line that says the same, without MODEL and -o: ["sample", "--seeds", "0-63"]."""
