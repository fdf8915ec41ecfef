"""The sliced Wasserstein distance of two sets of images, level by level of their Laplacian pyramids.

Source: Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs", ICLR 2018, section 5 and appendix. 7x7 patches at
random places of every image; per set and channel, mean 0 and standard deviation 1; along random directions of unit
length, the mean absolute difference of the sorted projections; times 1,000. The paper's 4 times 128 directions are 512
here, which has the same mean.

Where this differs: places are drawn from a seed and the image's own pixels, so that equal images are cut at equal
places and equal sets are 0 apart; places of different images are independent, as in the paper. A channel that is flat
over a whole set stays at 0, where the paper would divide by 0.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from . import pyramid
from .estimate import Estimate
from .rows import sort_rows, workers

SCALE = 1000
FLAT = 1e-3  # grey levels: a channel's standard deviation below this is rounding
KEPT = 2**30  # bytes of patches that stay in memory; more are cut again for every pass
PROJECTED = 2**30  # bytes of projections at a time
CHUNK = 2**20  # numbers that a thread cuts at a time
OF_PARTS = 32  # directions for the interval

Take = Callable[[int, int], NDArray[np.uint8]]  # first, end -> images uint8 (end - first, C, H, W)


@dataclass(frozen=True)
class Slicing:
    """The protocol.

    Attributes:
        num_patches: Of an image, at every level.
        patch_size: Pixels, in both directions.
        num_directions: Random directions, for every level its own.
        smallest: Shorter side of the last level, in pixels, at least.
    """

    num_patches: int = 128
    patch_size: int = 7
    num_directions: int = 512
    smallest: int = 16


@dataclass(frozen=True)
class Sliced(Estimate):
    """The mean over the levels, and each level's distance from the finest on, by its (height, width)."""

    levels: tuple[tuple[tuple[int, int], float], ...] = ()


def sliced_wasserstein(
    real: Take,
    fake: Take,
    num: int,
    slicing: Slicing,
    *,
    seed: int = 0,
    device: str = "cpu",
    num_groups: int = 0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Sliced:
    """The distance of two sets of equally many images of one size.

    The interval comes from the spread of `num_groups` consecutive parts of the fakes, each normalised by itself and
    measured against all reals: their standard deviation, divided by the root of their number, is the value's own error,
    for the error falls with the root of the number of fakes. It says how far the value may move with other fakes of
    the same source, the reals and the directions being the same, and nothing of the value's bias: smaller sets lie
    further apart.

    Args:
        real: Gives the images from one number to before another.
        fake: The same of the other set.
        num: Images of each, 1 or more.
        slicing: The protocol.
        seed: Of places and directions.
        device: Where patches are cut, projected and sorted.
        num_groups: For the interval; below 2: none. There are never more groups than images.
        progress: Called after each level with (images compared at it and before, at all levels).
    """
    shape = fake(0, 1).shape[1:]
    sizes = pyramid.sizes(shape[1], shape[2], slicing.smallest)
    sides = [(take, _places(take, num, sizes, slicing, seed)) for take in (real, fake)]
    num_groups = min(num_groups, num)
    bounds = [num * group // num_groups for group in range(num_groups + 1)] if num_groups > 1 else []
    levels, of_parts = [], []
    with workers(device) as crew:
        for level in range(len(sizes)):
            a, b = (_Side(take, places[:, level], level, len(sizes), slicing, device, crew) for take, places in sides)
            directions = _directions(slicing, shape[0], [seed, level])
            levels.append(SCALE * _distance(a, b, directions))
            if bounds:
                parts = (b.part(first, end) for first, end in pairwise(bounds))
                of_parts.append(_of_parts(a, parts, directions[:OF_PARTS]))
            progress((level + 1) * num, len(sizes) * num)
    value = float(np.mean(levels))
    interval = _interval(value, SCALE * np.mean(of_parts, 0)) if bounds else None
    return Sliced(value, interval, tuple(zip(sizes, levels, strict=True)))


def _interval(value: float, of_parts: NDArray[np.float64]) -> tuple[float, float]:
    error = of_parts.std(ddof=1) / len(of_parts) ** 0.5
    reach = float(stats.t.ppf(0.975, len(of_parts) - 1) * error)
    return max(0.0, value - reach), value + reach


def _places(take: Take, num: int, sizes: list[tuple[int, int]], slicing: Slicing, seed: int) -> NDArray[np.uint16]:
    """Upper left corners of the patches, (num, levels, 2, num_patches): rows and columns.

    An image's are drawn from the seed, its pixels, and how often it came before.
    """
    room = np.array(sizes)[:, :, None] - slicing.patch_size + 1
    found = np.empty((num, len(sizes), 2, slicing.num_patches), np.uint16)
    before: Counter[int] = Counter()
    for number in range(num):
        key = int.from_bytes(hashlib.blake2b(take(number, number + 1).tobytes(), digest_size=16).digest())
        dice = np.random.default_rng([seed, key, before[key]])
        found[number] = dice.integers(0, room, found.shape[1:])
        before[key] += 1
    return found


def _directions(slicing: Slicing, channels: int, seed: list[int]) -> Tensor:
    """Points on the unit sphere: float64 (num_directions, channels, patch_size^2)."""
    drawn = np.random.default_rng(seed).standard_normal((slicing.num_directions, channels, slicing.patch_size**2))
    return torch.from_numpy(drawn / np.sqrt(np.square(drawn).sum((1, 2), keepdims=True)))


class _Side:
    """The patches of one set at one level, and their normalisation.

    Attributes:
        num_rows: How many patches.
    """

    def __init__(
        self,
        take: Take,
        places: NDArray[np.uint16],
        level: int,
        num_levels: int,
        slicing: Slicing,
        device: str,
        crew: Executor,
    ) -> None:
        self._take, self._places, self._level, self._num_levels = take, places, level, num_levels
        self._slicing, self._device, self._crew = slicing, device, crew
        self.num_rows = places.shape[0] * slicing.num_patches
        shape = take(0, 1).shape[1:]
        row = shape[0] * slicing.patch_size**2
        self._chunk = max(1, CHUNK // max(int(np.prod(shape)), slicing.num_patches * row))
        keep = 2 * self.num_rows * row * 4 <= KEPT  # of both sides
        self._kept: dict[int, Tensor] = {}

        def moments(first: int) -> tuple[Tensor, Tensor]:
            rows = self._cut(first)
            if keep:
                self._kept[first] = rows
            pixels = rows.view(-1, slicing.num_patches, shape[0], slicing.patch_size**2)
            # by image and channel, each of a few thousand numbers only
            return pixels.sum((1, 3)).cpu().double(), pixels.square().sum((1, 3)).cpu().double()

        sums, squares = zip(*crew.map(moments, self._chunks()), strict=True)
        self._sums, self._squares = torch.cat(sums).sum(0), torch.cat(squares).sum(0)
        self._count = self.num_rows * slicing.patch_size**2

    def part(self, first: int, end: int) -> "_Side":
        """The patches of some of the images alone."""

        def take(start: int, stop: int) -> NDArray[np.uint8]:
            return self._take(first + start, first + stop)

        places = self._places[first:end]
        return _Side(take, places, self._level, self._num_levels, self._slicing, self._device, self._crew)

    def _chunks(self) -> range:
        """The first image of each chunk."""
        return range(0, len(self._places), self._chunk)

    def _cut(self, first: int) -> Tensor:
        """Patches of one chunk of images: float32 (images * num_patches, C * patch_size^2)."""
        size = self._slicing.patch_size
        pictures = torch.from_numpy(self._take(first, min(first + self._chunk, len(self._places))))
        whole = pyramid.laplacian(pictures.to(self._device).float(), self._level, self._num_levels)
        windows = whole.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)
        at = torch.from_numpy(self._places[first : first + len(whole)].astype(np.int64)).to(self._device)
        picture = torch.arange(len(whole), device=self._device)[:, None]
        return windows[picture, at[:, 0], at[:, 1]].reshape(at.shape[0] * at.shape[2], -1)

    def _normalisation(self) -> tuple[Tensor, Tensor]:
        """Per channel, 1 / standard deviation (0 for a flat one) and mean of all pixels of all patches: (C,)."""
        mean, square = self._sums / self._count, self._squares / self._count
        deviation = (square - mean.square()).clamp_min(0).sqrt()
        return torch.where(deviation > FLAT, 1 / deviation, 0.0), mean

    def normalised(self, directions: Tensor) -> Tensor:
        """The normalised patches along directions (k, C, patch_size^2), sorted: float32 (k, num_rows)."""
        inverse, mean = self._normalisation()
        # (x - mean) / deviation . d = x . (d / deviation) - mean . (d / deviation)
        weights = directions * inverse[:, None]
        found = torch.empty(len(directions), self.num_rows, device=self._device)
        along, back = weights.flatten(1).to(found), (weights.sum(2) @ mean)[:, None].to(found)

        def project(first: int) -> None:
            rows = self._kept[first] if first in self._kept else self._cut(first)
            start = first * self._slicing.num_patches
            torch.addmm(back, along, rows.T, beta=-1, out=found[:, start : start + len(rows)])

        list(self._crew.map(project, self._chunks()))
        return sort_rows(found, self._crew)


def _distance(real: _Side, fake: _Side, directions: Tensor) -> float:
    """Mean absolute difference of the sorted projections."""
    step = max(1, PROJECTED // (2 * 4 * real.num_rows))
    apart = []
    for some in torch.split(directions, step):
        found = real.normalised(some)
        apart.append(found.sub_(fake.normalised(some)).abs_().mean(1).cpu().double())
    return float(torch.cat(apart).mean())


def _of_parts(real: _Side, parts: Iterable[_Side], directions: Tensor) -> list[float]:
    """Each part's own distance from the reals at the matching quantiles."""
    sorted_real, found = real.normalised(directions), []
    for part in parts:
        quantiles = (2 * torch.arange(part.num_rows, device=sorted_real.device) + 1) * real.num_rows
        matching = sorted_real[:, quantiles // (2 * part.num_rows)]
        found.append(float(matching.sub_(part.normalised(directions)).abs_().mean()))
    return found
