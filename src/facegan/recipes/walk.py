"""A walk through latent space from point to point, as the frames of a film or as a filmstrip."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from .. import latents
from ..errors import ConfigError
from ..generator import MICRO_BATCH, FaceGenerator
from ..images import GAP, grid, to_uint8
from ..sampling import finite_images
from ..seeds import Points
from .recipe import Progress, Recipe, number

MOST_FRAMES = 100_000  # more than an hour of film
MOST_SCALE = 64
MOST_CELLS = 1024  # walks at once
QUARTERS = 4  # of a circle: the rows of its filmstrip

Mode = Literal["slerp", "lerp"]


class Walk(Recipe):
    """`facegan interpolate`: the way through points, each of which is in a frame of its own, exactly.

    Several walks at once (`rows` x `columns`) take the points sheet by sheet: the first frame shows the first
    rows * columns of them, the last frame of an open walk the last.

    Attributes:
        points: Two or more a walk; a circle takes two, of which the second only spans its plane.
        num_frames: All of them, both ends included.
        mode: How to go from one point to the next; None is slerp for the normal prior, lerp for the uniform one.
        loop: Go on from the last point to the first; the frame that would repeat the first is left away.
        circle: Once around the great circle through the first point in its plane with the second one; it is closed.
        rows: Of the walks that are shown at once.
        columns: Of the walks that are shown at once.
        strip: One image instead of many: a row a leg between two neighbouring points, both of them shown in it;
            of a circle, a row a quarter.
        scale: Pixels as wide and high as one of the network's; enlarged without smoothing.
        fps: Frames a second of a film.
    """

    make: Literal["interpolate"] = "interpolate"
    points: Points
    num_frames: int
    mode: Mode | None = None
    loop: bool = False
    circle: bool = False
    rows: int = Field(1, ge=1)
    columns: int = Field(1, ge=1)
    strip: bool = False
    scale: int = 1
    fps: float = Field(25.0, allow_inf_nan=False)

    def model_post_init(self, _: Any) -> None:
        """Refuse a walk that cannot be; raises ConfigError."""
        check_scale(self.scale)
        cells, num = self.rows * self.columns, len(self.points)
        if cells > MOST_CELLS:
            raise ConfigError(
                f"--grid {self.rows}x{self.columns}: {cells:,} walks at once; {MOST_CELLS:,} are the most"
            )
        if num % cells:
            raise ConfigError(
                f"--grid {self.rows}x{self.columns}: {num} points do not fill sheets of {cells}; "
                f"give a multiple of {cells}, the first {cells} for the first frame, and so on"
            )
        if self.circle and num != 2 * cells:
            raise ConfigError(f"--circle: takes two points a walk, the second for its plane (given {num // cells})")
        if self.circle and (self.loop or self.mode):
            raise ConfigError("--circle: is closed and on a great circle by itself; leave --loop and --mode away")
        if num < 2 * cells:
            raise ConfigError(f"--seeds {self.points.text}: is one point a walk; give two or more, or --circle")
        if not 2 <= self.num_frames <= MOST_FRAMES:
            raise ConfigError(f"--frames {self.num_frames}: give 2 to {MOST_FRAMES:,}")
        if not self.circle and self.num_frames < num // cells:
            raise ConfigError(
                f"--frames {self.num_frames}: fewer than the {num // cells} points, which all have a frame; give more"
            )
        if self.strip:
            self._check_strip()

    def _check_strip(self) -> None:
        if self.rows * self.columns > 1:
            raise ConfigError("--grid: several walks at once are for films; a filmstrip shows one")
        legs = self.num_legs
        steps = self.num_frames - self._is_open
        if steps % legs:
            fewer, more = (each * legs + self._is_open for each in (steps // legs, steps // legs + 1))
            right = f"{fewer} or {more}" if steps >= legs else f"{more}"
            raise ConfigError(f"--frames {self.num_frames}: are not {legs} rows of one length; give {right}")

    @property
    def num_legs(self) -> int:
        """The ways between two neighbouring points; of a circle, the quarters."""
        return legs_of(len(self.points) // (self.rows * self.columns), loop=self.loop, circle=self.circle)

    @property
    def _is_open(self) -> bool:
        return not (self.loop or self.circle)

    @property
    def rate(self) -> float | None:
        """As `Recipe.rate`."""
        return None if self.strip else self.fps

    def size(self, resolution: int) -> tuple[int, int]:
        """Height and width of a frame in pixels, of faces of `resolution`."""
        rows, columns = self.rows, self.columns
        if self.strip:
            rows, columns = self.num_legs, self._row_length
        return self.scale * (rows * (resolution + GAP) - GAP), self.scale * (columns * (resolution + GAP) - GAP)

    @property
    def _row_length(self) -> int:
        """The faces of a row of a filmstrip, both of its ends included."""
        return (self.num_frames - self._is_open) // self.num_legs + 1

    def frames(self, generator: FaceGenerator, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """The frames one by one, or the one filmstrip; raises as `Recipe.frames`."""
        cells = self.rows * self.columns
        at_once = max(1, MICRO_BATCH // cells)
        sheets, done = [], 0
        for z in self._latents(generator, at_once):  # (n, cells, z_dim)
            faces = to_uint8(finite_images(generator, z.flatten(0, 1))).numpy()  # (n * cells, C, H, W)
            done += len(z)
            if progress:
                progress(done * cells, self.num_frames * cells)
            if self.strip:
                sheets.append(faces)
                continue
            for frame in faces.reshape(len(z), cells, *faces.shape[1:]):
                yield enlarged(grid(frame, self.columns), self.scale)
        if self.strip:
            faces, length = np.concatenate(sheets), self._row_length
            order = [leg * (length - 1) + place for leg in range(self.num_legs) for place in range(length)]
            yield enlarged(grid(faces[np.array(order) % len(faces)], length), self.scale)

    def _latents(self, generator: FaceGenerator, at_once: int) -> Iterator[Tensor]:
        """The latents (n, cells, z_dim) of all frames, at most `at_once` frames at a time."""
        cells = self.rows * self.columns
        points = self.points.z(generator).view(-1, cells, generator.z_dim)
        if self.circle:
            turns = torch.arange(self.num_frames).double() / self.num_frames
            for t in turns.split(at_once):  # type: ignore[no-untyped-call]
                yield latents.circle(points[0], points[1], t[:, None])
            return
        way = way_of(self.mode, generator.prior)
        schedule = latents.schedule(len(points), self.num_frames, closed=self.loop)
        for at in schedule.split(at_once):  # type: ignore[no-untyped-call]
            yield latents.walk(points, at, way)

    def flags(self) -> list[str]:
        """As `Recipe.flags`; where -o's ending decides, `--scale` and `--fps` are named."""
        flags = ["interpolate", "--seeds", self.points.text, "--frames", str(self.num_frames)]
        if self.mode:
            flags += ["--mode", self.mode]
        flags += ["--loop"] * self.loop + ["--circle"] * self.circle
        if self.rows * self.columns > 1:
            flags += ["--grid", f"{self.rows}x{self.columns}"]
        flags += ["--scale", str(self.scale)]
        return flags if self.strip else [*flags, "--fps", number(self.fps)]


def legs_of(num_points: int, *, loop: bool = False, circle: bool = False) -> int:
    """The ways between two neighbouring points of a walk; of a circle, its quarters."""
    return QUARTERS if circle else num_points if loop else num_points - 1


def way_of(mode: Mode | None, prior: str) -> Callable[..., Tensor]:
    """`latents.slerp` or `latents.lerp`: as asked, else as the prior of the generator wants it."""
    return latents.lerp if (mode or ("lerp" if prior == "uniform" else "slerp")) == "lerp" else latents.slerp


def check_scale(scale: int) -> None:
    """Refuse an enlargement by nothing, or by far too much; raises ConfigError."""
    if not 1 <= scale <= MOST_SCALE:
        raise ConfigError(f"--scale {scale}: give 1 to {MOST_SCALE}")


def enlarged(picture: np.ndarray, scale: int) -> np.ndarray:
    """An image (H, W) or (H, W, 3) enlarged by a whole factor, each pixel a square."""
    return picture.repeat(scale, 0).repeat(scale, 1)
