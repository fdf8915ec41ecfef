"""Interpolation: walks through latent space as animations or filmstrips, and sheets between four points."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from .. import latents
from ..errors import ConfigError
from ..generator import MICRO_BATCH, FaceGenerator
from ..images import grid, to_uint8
from ..images.layouts import GAP
from ..reporter import Reporter
from ..sampling import finite_images
from ..seeds import Points
from .recipe import Recipe, draw_images

MAX_FRAMES = 100_000  # more than an hour of animation
MAX_CELLS = 1024  # simultaneous walks
QUARTERS = 4  # of a circle: the rows of its filmstrip

Mode = Literal["slerp", "lerp"]
MODE = Field(None, title="--mode")  # None: slerp for the normal prior, lerp for the uniform one
SCALE = Field(1, ge=1, le=64, title="--scale")  # factor of enlargement, without smoothing


class Walk(Recipe):
    """`facegan interpolate`: a walk from point to point; each point has a frame that shows it exactly.

    Simultaneous walks (`rows` x `columns`) take the points sheet by sheet: the first frame shows the first
    rows * columns of them, the last frame of an open walk the last. Each walk has two points or more; a circle has two,
    the second of which only spans its plane.
    """

    command: ClassVar[str] = "interpolate"
    make: Literal["interpolate"] = "interpolate"
    points: Points
    num_frames: int = Field(ge=1, le=MAX_FRAMES, title="--frames")  # both ends included
    mode: Mode | None = MODE
    loop: bool = False  # from the last point to the first, without repeating its frame
    circle: bool = False  # once around the great circle through the first point, in its plane with the second one
    rows: int = Field(1, ge=1)  # of simultaneous walks
    columns: int = Field(1, ge=1)
    strip: bool = False  # one image: a row for each leg between points, both of them in it, or quarter of a circle
    scale: int = SCALE
    fps: float = Field(25.0, allow_inf_nan=False, title="--fps")  # frames per second of an animation

    def model_post_init(self, _: Any) -> None:
        """Refuse an impossible walk; raises ConfigError."""
        cells, num = self.rows * self.columns, len(self.points)
        where = f"--grid {self.rows}x{self.columns}"
        if cells > MAX_CELLS:
            raise ConfigError(f"{where}: {cells:,} walks at once; {MAX_CELLS:,} are the most")
        if num % cells:
            raise ConfigError(
                f"{where}: {num} points do not fill sheets of {cells}; "
                f"give a multiple of {cells}, the first {cells} for the first frame, and so on"
            )
        if self.circle and num != 2 * cells:
            raise ConfigError(f"--circle: takes two points a walk, the second for its plane (given {num // cells})")
        if self.circle and (self.loop or self.mode):
            raise ConfigError("--circle: is always closed and on a great circle; leave --loop and --mode out")
        if num < 2 * cells:
            raise ConfigError(f"--seeds {self.points.text}: is one point a walk; give two or more, or --circle")
        if self.num_frames < num // cells:
            raise ConfigError(f"--frames {self.num_frames}: fewer than the {num // cells} points; give as many or more")
        if self.strip and cells > 1:
            raise ConfigError("--grid: several walks at once are for animations; a filmstrip shows one")
        steps, legs = self.num_frames - self._is_open, self.num_legs
        if self.strip and steps % legs:
            fewer, more = (each * legs + self._is_open for each in (steps // legs, steps // legs + 1))
            right = f"{fewer} or {more}" if steps >= legs else f"{more}"
            raise ConfigError(f"--frames {self.num_frames}: are not {legs} rows of one length; give {right}")

    @property
    def num_legs(self) -> int:
        """The legs between neighbouring points; the quarters of a circle."""
        return legs_of(len(self.points) // (self.rows * self.columns), loop=self.loop, circle=self.circle)

    @property
    def rate(self) -> float | None:
        """Frames per second; None for a filmstrip."""
        return None if self.strip else self.fps

    @property
    def _is_open(self) -> bool:
        return not (self.loop or self.circle)

    @property
    def _cells(self) -> tuple[int, int]:
        """The rows and columns of faces; those of a filmstrip include both ends of its legs."""
        if self.strip:
            return self.num_legs, (self.num_frames - self._is_open) // self.num_legs + 1
        return self.rows, self.columns

    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of a frame in pixels."""
        return _size_of(self._cells, resolution, self.scale)

    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        batches = self._faces(generator, reporter)
        if not self.strip:
            yield from (_arrange(frame, self.columns, self.scale) for batch in batches for frame in batch)
            return
        faces = np.concatenate([batch[:, 0] for batch in batches])
        legs, length = self._cells
        order = [leg * (length - 1) + place for leg in range(legs) for place in range(length)]
        yield _arrange(faces[np.array(order) % len(faces)], length, self.scale)

    def _faces(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        """Yield the faces of a few frames at a time: uint8 (n, rows * columns, C, H, W)."""
        cells, done = self.rows * self.columns, 0
        points = self.points.z(generator).view(-1, cells, generator.z_dim)
        if self.circle:
            positions = torch.arange(self.num_frames).double() / self.num_frames  # in turns
        else:
            positions = latents.schedule(len(points), self.num_frames, closed=self.loop)
        for at in positions.split(max(1, MICRO_BATCH // cells)):  # type: ignore[no-untyped-call]
            if self.circle:
                z = latents.circle(points[0], points[1], at[:, None])
            else:
                z = latents.walk(points, at, _path(self.mode, generator.prior))
            faces = to_uint8(finite_images(generator, z.flatten(0, 1))).numpy()
            done += len(faces)
            reporter.progress("drawing", done, self.num_frames * cells)
            yield faces.reshape(len(z), cells, *faces.shape[1:])

    def _options(self) -> list[tuple[str, Any]]:
        return [
            ("--seeds", self.points.text),
            ("--frames", self.num_frames),
            ("--mode", self.mode),
            ("--loop", self.loop),
            ("--circle", self.circle),
            ("--grid", f"{self.rows}x{self.columns}" if self.rows * self.columns > 1 else None),
            ("--scale", self.scale),
            ("--fps", None if self.strip else self.fps),
        ]


class Corners(Recipe):
    """`facegan interpolate --corners a,b,c,d`: four faces in the corners of a sheet, and those between them.

    The points are the top left, top right, bottom left and bottom right one.
    """

    command: ClassVar[str] = "interpolate"
    make: Literal["corners"] = "corners"
    points: Points
    rows: int = Field(8, ge=2, le=1000, title="--rows")
    columns: int = Field(8, ge=2, le=1000, title="--cols")
    mode: Mode | None = MODE
    scale: int = SCALE

    def model_post_init(self, _: Any) -> None:
        """Refuse another number of points; raises ConfigError."""
        if len(self.points) != 4:
            raise ConfigError(
                f"--corners {self.points.text}: names {len(self.points)} points; "
                "give four: top left, top right, bottom left, bottom right"
            )

    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of the sheet in pixels."""
        return _size_of((self.rows, self.columns), resolution, self.scale)

    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        rows, columns = (torch.linspace(0, 1, num, dtype=torch.float64) for num in (self.rows, self.columns))
        corners = list(self.points.z(generator))
        z = latents.bilinear(corners, rows, columns, _path(self.mode, generator.prior)).flatten(0, 1)
        yield _arrange(np.concatenate(list(draw_images(generator, z, reporter))), self.columns, self.scale)

    def _options(self) -> list[tuple[str, Any]]:
        return [
            ("--corners", self.points.text),
            ("--rows", self.rows),
            ("--cols", self.columns),
            ("--mode", self.mode),
            ("--scale", self.scale if self.scale > 1 else None),
        ]


def legs_of(num_points: int, *, loop: bool = False, circle: bool = False) -> int:
    """Return the legs between neighbouring points of a walk; for a circle, its quarters."""
    return QUARTERS if circle else num_points if loop else num_points - 1


def _path(mode: Mode | None, prior: str) -> Callable[..., Tensor]:
    return latents.lerp if (mode or ("lerp" if prior == "uniform" else "slerp")) == "lerp" else latents.slerp


def _size_of(cells: tuple[int, int], resolution: int, scale: int) -> tuple[int, int]:
    height, width = (scale * (num * (resolution + GAP) - GAP) for num in cells)
    return height, width


def _arrange(faces: np.ndarray, columns: int, scale: int) -> np.ndarray:
    return grid(faces, columns).repeat(scale, 0).repeat(scale, 1)
