"""A sheet of faces, one a point."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from ..generators import FaceGenerator
from ..images import grid, to_uint8
from ..points import Points
from ..sampling import sample
from .recipe import Progress, Recipe


class Sheet(Recipe):
    """`facegan sample -o grid.png`: the faces of points, row by row."""

    make: Literal["sample"] = "sample"
    points: Points
    truncation: float = Field(1.0, ge=0, le=1)
    columns: int | None = Field(None, ge=1)
    labels: bool = False

    def frames(self, generator: FaceGenerator, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """One frame: the sheet; raises as `Recipe.frames`."""
        kept: list[np.ndarray] = []
        for _, pictures in sample(generator, self.points, truncation=self.truncation):
            kept.append(to_uint8(pictures).numpy())
            if progress:
                progress(sum(map(len, kept)), len(self.points))
        labels = self.points.labels() if self.labels else None
        yield grid(np.concatenate(kept), self.columns, labels=labels)

    def flags(self) -> list[str]:
        """As `Recipe.flags`."""
        flags = ["sample", "--seeds", self.points.text]
        if self.truncation != 1:
            flags += ["--truncation", f"{self.truncation:g}"]
        if self.columns is not None:
            flags += ["--cols", str(self.columns)]
        return flags + ["--labels"] * self.labels
