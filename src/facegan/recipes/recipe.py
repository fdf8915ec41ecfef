"""The base of all recipes: an image's description, complete in itself, from which its snapshot makes it again."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from ..config.error_messages import Options
from ..generator import MICRO_BATCH, FaceGenerator
from ..images import to_uint8
from ..reporter import SILENT, Callbacks, Progress, Reporter
from ..sampling import finite_images


def format_number(value: float) -> str:
    """Format a number as short as its option reads it back exactly: 0.5, 3, 0.123456789."""
    return f"{value:.15g}"


class Recipe(Options, ABC):
    """A frozen description of an image or an animation; with the same snapshot it gives the same pixels again.

    A subclass has a field `make`, the Literal name of its kind, and is registered in `recipes.read`. It holds seeds,
    latents and numbers, never a path: it travels inside the image.
    """

    command: ClassVar[str]
    make: str

    @model_serializer(mode="wrap")
    def _named(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Serialise the fields, with `make` even where defaults are left out: `recipes.read` needs it."""
        return {"make": self.make, **write(self)}

    @property
    def rate(self) -> float | None:
        """Frames per second of an animation; None for an image, which has one frame."""
        return None

    @abstractmethod
    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of a frame in pixels, for faces of a resolution; texts may need a few more."""

    def frames(
        self, generator: FaceGenerator, progress: Progress | None = None, *, reporter: Reporter = SILENT
    ) -> Iterator[np.ndarray]:
        """Yield the frames, uint8 (H, W, 3) or (H, W): one for an image, several for an animation, all of one size.

        Args:
            generator: The generator of the recipe's snapshot.
            progress: Called with (faces drawn, faces in all).
            reporter: Receives the progress of "drawing", unless `progress` does.

        Raises:
            SnapshotError: A latent is another model's, or an image is not finite.
            ConfigError: The terms of an arithmetic cancel each other.
        """
        return self._frames(generator, Callbacks(progress={"drawing": progress}) if progress else reporter)

    @abstractmethod
    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]: ...

    @abstractmethod
    def _options(self) -> list[tuple[str, Any]]:
        """Return the options of its command: (option, value); None and False leave it out, True gives it alone."""

    def flags(self) -> list[str]:
        """Return the equivalent command line, without MODEL and -o: ["sample", "--seeds", "0-63"]."""
        flags = [self.command]
        for option, value in self._options():
            if value is True:
                flags.append(option)
            elif value is not None and value is not False:
                flags += [option, format_number(value) if isinstance(value, float) else str(value)]
        return flags


def draw_images(generator: FaceGenerator, z: Tensor, reporter: Reporter) -> Iterator[np.ndarray]:
    """Yield the images of latents z (N, z_dim) in micro-batches, uint8 (n, C, H, W); raises SnapshotError."""
    done = 0
    for part in z.split(MICRO_BATCH):  # type: ignore[no-untyped-call]
        done += len(part)
        images = to_uint8(finite_images(generator, part)).numpy()
        reporter.progress("drawing", done, len(z))
        yield images
