"""A sheet over four points."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from .. import latents
from ..errors import ConfigError
from ..generator import MICRO_BATCH, FaceGenerator
from ..images import GAP, grid, to_uint8
from ..sampling import finite_images
from ..seeds import Points
from .recipe import Progress, Recipe
from .walk import Mode, check_scale, enlarged, way_of

MOST_SIDE = 1000  # faces


class Corners(Recipe):
    """`facegan interpolate --corners a,b,c,d`: four faces in the corners of a sheet, and what lies between them.

    Attributes:
        points: Top left, top right, bottom left, bottom right.
        rows: Of faces.
        columns: Of faces.
        mode: As of a walk.
        scale: As of a walk.
    """

    make: Literal["corners"] = "corners"
    points: Points
    rows: int = 8
    columns: int = 8
    mode: Mode | None = None
    scale: int = 1

    def model_post_init(self, _: Any) -> None:
        """Refuse a sheet that cannot be; raises ConfigError."""
        if len(self.points) != 4:
            raise ConfigError(
                f"--corners {self.points.text}: names {len(self.points)} points; "
                "give four: top left, top right, bottom left, bottom right"
            )
        for flag, value in (("--rows", self.rows), ("--cols", self.columns)):
            if not 2 <= value <= MOST_SIDE:
                raise ConfigError(f"{flag} {value}: give 2 to {MOST_SIDE:,}")
        check_scale(self.scale)

    def size(self, resolution: int) -> tuple[int, int]:
        """Height and width of the sheet in pixels, of faces of `resolution`."""
        height, width = (side * (resolution + GAP) - GAP for side in (self.rows, self.columns))
        return self.scale * height, self.scale * width

    def frames(self, generator: FaceGenerator, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """One frame: the sheet; raises as `Recipe.frames`."""
        rows, columns = (torch.linspace(0, 1, num, dtype=torch.float64) for num in (self.rows, self.columns))
        corners = list(self.points.z(generator))
        z = latents.bilinear(corners, rows, columns, way_of(self.mode, generator.prior)).flatten(0, 1)
        kept: list[np.ndarray] = []
        for part in z.split(MICRO_BATCH):  # type: ignore[no-untyped-call]
            kept.append(to_uint8(finite_images(generator, part)).numpy())
            if progress:
                progress(sum(map(len, kept)), len(z))
        yield enlarged(grid(np.concatenate(kept), self.columns), self.scale)

    def flags(self) -> list[str]:
        """As `Recipe.flags`."""
        flags = ["interpolate", "--corners", self.points.text, "--rows", str(self.rows), "--cols", str(self.columns)]
        if self.mode:
            flags += ["--mode", self.mode]
        return flags + ["--scale", str(self.scale)] * (self.scale > 1)
