"""A sheet of samples."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..generator import FaceGenerator
from ..images import grid, to_uint8
from ..images.layouts import grid_size
from ..reporter import SILENT, Reporter
from ..sampling import sample
from ..seeds import MAX_POINTS, Points
from .recipe import Recipe


class Sheet(Recipe):
    """`facegan sample -o grid.png`: the images of points, row by row."""

    command: ClassVar[str] = "sample"
    make: Literal["sample"] = "sample"
    points: Points
    truncation: float = Field(1.0, ge=0, le=1, title="--truncation")  # 0: one mean face; 1: none
    columns: int | None = Field(None, ge=1, le=MAX_POINTS, title="--cols")  # None: near-square
    labels: bool = False

    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of the sheet in pixels."""
        return grid_size(len(self.points), self.columns, resolution, labelled=self.labels)

    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        yield self.arrange(np.concatenate([images for _, images in self.faces(generator, reporter)]))

    def faces(
        self, generator: FaceGenerator, reporter: Reporter = SILENT
    ) -> Iterator[tuple[list[int | str], np.ndarray]]:
        """Yield the images in batches: (names of the points, uint8 (n, C, H, W)); raises SnapshotError."""
        done = 0
        for names, images in sample(generator, self.points, truncation=self.truncation):
            done += len(names)
            reporter.progress("drawing", done, len(self.points))
            yield names, to_uint8(images).numpy()

    def arrange(self, images: np.ndarray) -> np.ndarray:
        """Arrange all images, uint8 (N, C, H, W), as the sheet."""
        return grid(images, self.columns, labels=self.points.labels() if self.labels else None)

    def single(self, name: int | str) -> "Sheet":
        """Return the recipe of one of the images alone."""
        latents = {str(name): self.points.latents[str(name)]} if isinstance(name, str) else {}
        return Sheet(points=Points(text=str(name), latents=latents), truncation=self.truncation)

    def _options(self) -> list[tuple[str, Any]]:
        return [
            ("--seeds", self.points.text),
            ("--truncation", self.truncation if self.truncation != 1 else None),
            ("--cols", self.columns),
            ("--labels", self.labels),
        ]
