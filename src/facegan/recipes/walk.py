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
from ..images import GAP, grid, to_uint8
from ..reporter import Reporter
from ..sampling import finite_images
from ..seeds import Points
from .recipe import Recipe, draw_images

MAX_FRAMES = 100_000  # more than an hour of animation
MAX_SCALE = 64
MAX_CELLS = 1024  # simultaneous walks
MAX_SIDE = 1000  # faces of a sheet between corners
QUARTERS = 4  # of a circle: the rows of its filmstrip

Mode = Literal["slerp", "lerp"]


class Walk(Recipe):
    """`facegan interpolate`: a walk from point to point; each point has a frame that shows it exactly.

    Simultaneous walks (`rows` x `columns`) take the points sheet by sheet: the first frame shows the first
    rows * columns of them, the last frame of an open walk the last.

    Attributes:
        points: Two or more for each walk; a circle takes two, the second of which only spans its plane.
        num_frames: All frames, both ends included.
        mode: The path between points; None is slerp for the normal prior, lerp for the uniform one.
        loop: Continue from the last point to the first, without repeating its frame.
        circle: Go once around the great circle through the first point, in its plane with the second one.
        rows: Rows of simultaneous walks.
        columns: Columns of simultaneous walks.
        strip: Make one image: a row for each leg between two neighbouring points, both of them shown in it;
            for a circle, a row for each quarter.
        scale: Integer factor of enlargement, without smoothing.
        fps: Frames per second of an animation.
    """

    command: ClassVar[str] = "interpolate"
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
        """Refuse an impossible walk; raises ConfigError."""
        _check_scale(self.scale)
        cells, num = self.rows * self.columns, len(self.points)
        if cells > MAX_CELLS:
            raise ConfigError(f"--grid {self.rows}x{self.columns}: {cells:,} walks at once; {MAX_CELLS:,} are the most")
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
        if not 2 <= self.num_frames <= MAX_FRAMES:
            raise ConfigError(f"--frames {self.num_frames}: give 2 to {MAX_FRAMES:,}")
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
    def _row_length(self) -> int:
        """The faces of a filmstrip's row, both ends included."""
        return (self.num_frames - self._is_open) // self.num_legs + 1

    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of a frame in pixels."""
        cells = (self.num_legs, self._row_length) if self.strip else (self.rows, self.columns)
        return _grid_size(*cells, resolution, self.scale)

    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        cells = self.rows * self.columns
        strip, done = [], 0
        for z in self._latents(generator, max(1, MICRO_BATCH // cells)):  # (n, cells, z_dim)
            faces = to_uint8(finite_images(generator, z.flatten(0, 1))).numpy()  # (n * cells, C, H, W)
            done += len(z)
            reporter.progress("drawing", done * cells, self.num_frames * cells)
            if self.strip:
                strip.append(faces)
                continue
            for frame in faces.reshape(len(z), cells, *faces.shape[1:]):
                yield _enlarged(grid(frame, self.columns), self.scale)
        if self.strip:
            faces, length = np.concatenate(strip), self._row_length
            order = [leg * (length - 1) + place for leg in range(self.num_legs) for place in range(length)]
            yield _enlarged(grid(faces[np.array(order) % len(faces)], length), self.scale)

    def _latents(self, generator: FaceGenerator, batch: int) -> Iterator[Tensor]:
        """Yield the latents (n, cells, z_dim) of all frames, at most `batch` frames at a time."""
        cells = self.rows * self.columns
        points = self.points.z(generator).view(-1, cells, generator.z_dim)
        if self.circle:
            turns = torch.arange(self.num_frames).double() / self.num_frames
            for t in turns.split(batch):  # type: ignore[no-untyped-call]
                yield latents.circle(points[0], points[1], t[:, None])
            return
        path = _path(self.mode, generator.prior)
        schedule = latents.schedule(len(points), self.num_frames, closed=self.loop)
        for at in schedule.split(batch):  # type: ignore[no-untyped-call]
            yield latents.walk(points, at, path)

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

    Attributes:
        points: Top left, top right, bottom left, bottom right.
        rows: Rows of faces.
        columns: Columns of faces.
        mode: The path between points; None is slerp for the normal prior, lerp for the uniform one.
        scale: Integer factor of enlargement, without smoothing.
    """

    command: ClassVar[str] = "interpolate"
    make: Literal["corners"] = "corners"
    points: Points
    rows: int = 8
    columns: int = 8
    mode: Mode | None = None
    scale: int = 1

    def model_post_init(self, _: Any) -> None:
        """Refuse an impossible sheet; raises ConfigError."""
        if len(self.points) != 4:
            raise ConfigError(
                f"--corners {self.points.text}: names {len(self.points)} points; "
                "give four: top left, top right, bottom left, bottom right"
            )
        for option, value in (("--rows", self.rows), ("--cols", self.columns)):
            if not 2 <= value <= MAX_SIDE:
                raise ConfigError(f"{option} {value}: give 2 to {MAX_SIDE:,}")
        _check_scale(self.scale)

    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of the sheet in pixels."""
        return _grid_size(self.rows, self.columns, resolution, self.scale)

    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        rows, columns = (torch.linspace(0, 1, num, dtype=torch.float64) for num in (self.rows, self.columns))
        corners = list(self.points.z(generator))
        z = latents.bilinear(corners, rows, columns, _path(self.mode, generator.prior)).flatten(0, 1)
        faces = np.concatenate(list(draw_images(generator, z, reporter)))
        yield _enlarged(grid(faces, self.columns), self.scale)

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


def _check_scale(scale: int) -> None:
    if not 1 <= scale <= MAX_SCALE:
        raise ConfigError(f"--scale {scale}: give 1 to {MAX_SCALE}")


def _grid_size(rows: int, columns: int, resolution: int, scale: int) -> tuple[int, int]:
    height, width = (scale * (num * (resolution + GAP) - GAP) for num in (rows, columns))
    return height, width


def _enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, 0).repeat(scale, 1)
