"""A sheet of faces, one a point."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from ..generator import FaceGenerator
from ..images import grid, grid_size, to_uint8
from ..sampling import sample
from ..seeds import MOST, Points
from .recipe import Progress, Recipe, number


class Sheet(Recipe):
    """`facegan sample -o grid.png`: the faces of points, row by row."""

    make: Literal["sample"] = "sample"
    points: Points
    truncation: float = Field(1.0, ge=0, le=1)
    columns: int | None = Field(None, ge=1, le=MOST)
    labels: bool = False

    def size(self, resolution: int) -> tuple[int, int]:
        """As `Recipe.size`."""
        return grid_size(len(self.points), self.columns, resolution, labelled=self.labels)

    def frames(self, generator: FaceGenerator, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """One frame: the sheet; raises as `Recipe.frames`."""
        kept: list[np.ndarray] = []
        for _, pixels in self.faces(generator):
            kept.append(pixels)
            if progress:
                progress(sum(map(len, kept)), len(self.points))
        yield self.arrange(np.concatenate(kept))

    def faces(self, generator: FaceGenerator) -> Iterator[tuple[list[int | str], np.ndarray]]:
        """The faces in batches: (names of the points, uint8 (n, C, H, W)); raises as `Recipe.frames`."""
        for names, pictures in sample(generator, self.points, truncation=self.truncation):
            yield names, to_uint8(pictures).numpy()

    def arrange(self, pixels: np.ndarray) -> np.ndarray:
        """All faces, uint8 (N, C, H, W), as the sheet."""
        return grid(pixels, self.columns, labels=self.points.labels() if self.labels else None)

    def single(self, name: int | str) -> "Sheet":
        """The recipe of one of the faces alone."""
        latents = {str(name): self.points.latents[str(name)]} if isinstance(name, str) else {}
        return Sheet(points=Points(text=str(name), latents=latents), truncation=self.truncation)

    def flags(self) -> list[str]:
        """As `Recipe.flags`."""
        flags = ["sample", "--seeds", self.points.text]
        if self.truncation != 1:
            flags += ["--truncation", number(self.truncation)]
        if self.columns is not None:
            flags += ["--cols", str(self.columns)]
        return flags + ["--labels"] * self.labels
