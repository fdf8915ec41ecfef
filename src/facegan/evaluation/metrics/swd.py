"""The sliced Wasserstein distance of two sets of images, level by level of their Laplacian pyramids.

Source: Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs", ICLR 2018, section 5 and appendix. 7x7 patches at
random places of every image; per set and channel, mean 0 and standard deviation 1; along random directions of unit
length, the mean absolute difference of the sorted projections; times 1,000. The paper's 4 times 128 directions are 512
here, which has the same mean.

Two things differ. Places are drawn from a seed and the image's own pixels, so that equal images are cut at equal places
and equal sets are 0 apart; places of different images are independent, as in the paper. A channel that is flat over a
complete set stays at 0, where the paper would divide by 0.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from timeit import repeat
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats
from torch import Tensor
from torch.nn.functional import pad

from ...reporter import Progress
from ..metric import Measurement, Metric, Pair, Sample

SCALE = 1000
SMALLEST = 16  # pixels: shorter side of the last level, at least
FLAT = 1e-3  # grey levels: a channel's standard deviation below this is rounding
KEPT_BYTES = 2**30  # of patches that stay in memory; more are cut again for every pass
PROJECTED_BYTES = 2**30  # of projections at a time
CHUNK = 2**20  # numbers that a thread cuts at a time
NUM_PART_DIRECTIONS = 32  # directions for the interval
NUM_PARTS = 10  # parts of the fakes, for the interval
ROWS_AT_ONCE = 8  # rows that a thread sorts before it looks for more


@dataclass(frozen=True)
class Slicing:
    """The protocol."""

    num_patches: int = 128  # of an image, at every level
    patch_size: int = 7  # pixels, in both directions
    num_directions: int = 512  # drawn at random for every level


def sliced_wasserstein(
    real: Sample,
    fake: Sample,
    slicing: Slicing,
    *,
    seed: int = 0,
    device: str = "cpu",
    num_parts: int = 0,
    progress: Progress = lambda *_: None,
) -> Measurement:
    """The distance of two sets of equally many images of one size: the mean over the levels, which the details hold.

    The interval is one of the mean over sets of as many other fakes, by the jackknife over `num_parts` consecutive
    parts: the fakes without each part, normalised by themselves, against all reals. It says nothing of the bias:
    smaller sets lie further apart.

    Args:
        real: At least one image.
        fake: As many.
        slicing: The protocol.
        seed: Of places and directions.
        device: Where patches are cut and projected.
        num_parts: For the interval, no more than images; below 2: none.
        progress: Called after each level with (images compared at all levels so far, images in all).
    """
    num, (channels, *size) = len(real), real.images.shape[1:]
    sizes = pyramid_sizes(*size)
    sides = [(sample, patch_places(sample, sizes, slicing, seed)) for sample in (real, fake)]
    num_parts = min(num_parts, num)
    bounds = [num * part // num_parts for part in range(num_parts + 1)] if num_parts > 1 else []
    levels, of_parts = [], []
    with sorting_threads(device) as pool:
        for level in range(len(sizes)):
            band = partial(laplacian, level=level, num_levels=len(sizes))
            a, b = (_Patches(each, at[:, level], band, slicing.patch_size, device, pool) for each, at in sides)
            directions = random_directions(slicing, channels, [seed, level])
            levels.append(SCALE * _distance(a, b, directions))
            if bounds:
                of_parts.append(_distances_without(a, b, bounds, directions[:NUM_PART_DIRECTIONS]))
            progress((level + 1) * num, len(sizes) * num)
    value, interval = float(np.mean(levels)), None
    if of_parts:
        error = SCALE * _error(np.concatenate(of_parts, 1), len(sizes) * slicing.num_directions)
        margin = float(stats.t.ppf(0.975, num_parts - 1)) * error
        interval = max(0.0, value - margin), value + margin
    names = [str(height) if height == width else f"{width}x{height}" for height, width in sizes]
    return Measurement(value, interval, {"levels": dict(zip(names, levels, strict=True)), "num_images": num})


def patch_places(sample: Sample, sizes: list[tuple[int, int]], slicing: Slicing, seed: int) -> NDArray[np.uint16]:
    """Return the upper left corners of the patches, (n, levels, 2, num_patches): rows and columns.

    An image's are drawn from the seed, its pixels, and how often it came before.
    """
    room = np.array(sizes)[:, :, None] - slicing.patch_size + 1
    found = np.empty((len(sample), len(sizes), 2, slicing.num_patches), np.uint16)
    before: Counter[int] = Counter()
    for number in range(len(sample)):
        pixels = sample.take(number, number + 1).tobytes()
        key = int.from_bytes(hashlib.blake2b(pixels, digest_size=16).digest())
        rng = np.random.default_rng([seed, key, before[key]])
        found[number] = rng.integers(0, room, found.shape[1:])
        before[key] += 1
    return found


def random_directions(slicing: Slicing, channels: int, seed: list[int]) -> Tensor:
    """Return points on the unit sphere: float64 (num_directions, channels, patch_size^2)."""
    normal = np.random.default_rng(seed).standard_normal((slicing.num_directions, channels, slicing.patch_size**2))
    return torch.from_numpy(normal / np.sqrt(np.square(normal).sum((1, 2), keepdims=True)))


class _Patches:
    """The patches of one set at one level, `num_rows` of them, and their normalisation."""

    def __init__(
        self,
        sample: Sample,
        places: NDArray[np.uint16],
        band: Callable[[Tensor], Tensor],
        size: int,
        device: str,
        pool: Executor,
    ) -> None:
        self._sample, self._places, self._band = sample, places, band
        self._size, self._device, self._pool = size, device, pool
        channels = sample.images.shape[1]
        num_images, _, num_patches = places.shape
        self.num_rows = num_images * num_patches
        row = channels * size**2
        self._chunk = max(1, CHUNK // max(sample.images[0].size, num_patches * row))
        self._chunks = range(0, num_images, self._chunk)  # the first image of each
        keep = 2 * self.num_rows * row * 4 <= KEPT_BYTES  # of both sides
        self._kept: dict[int, Tensor] = {}

        def moments(first: int) -> tuple[Tensor, Tensor]:
            rows = self._cut(first)
            if keep:
                self._kept[first] = rows
            pixels = rows.view(-1, num_patches, channels, size**2)
            # by image and channel, each of a few thousand numbers only
            return pixels.sum((1, 3)).cpu().double(), pixels.square().sum((1, 3)).cpu().double()

        sums, squares = zip(*pool.map(moments, self._chunks), strict=True)
        self._sums, self._squares = torch.cat(sums), torch.cat(squares)  # (images, C)

    def _cut(self, first: int) -> Tensor:
        """Patches of one chunk of images: float32 (images * num_patches, C * size^2)."""
        images = torch.from_numpy(self._sample.take(first, first + self._chunk))
        band = self._band(images.to(self._device).float())
        windows = band.unfold(2, self._size, 1).unfold(3, self._size, 1).permute(0, 2, 3, 1, 4, 5)
        at = torch.from_numpy(self._places[first : first + len(band)].astype(np.int64)).to(self._device)
        image = torch.arange(len(band), device=self._device)[:, None]
        return windows[image, at[:, 0], at[:, 1]].reshape(at.shape[0] * at.shape[2], -1)

    def _normalisation(self, first: int = 0, end: int = 0) -> tuple[Tensor, Tensor]:
        """Per channel, 1 / standard deviation (0 for a flat one) and mean of all pixels of all patches: (C,).

        Those of the images from `first` to `end` are left out.
        """
        count = (len(self._sums) - end + first) * self._places.shape[2] * self._size**2
        mean, square = ((each.sum(0) - each[first:end].sum(0)) / count for each in (self._sums, self._squares))
        deviation = (square - mean.square()).clamp_min(0).sqrt()
        return torch.where(deviation > FLAT, 1 / deviation, 0.0), mean

    def projected(self, directions: Tensor) -> Tensor:
        """The normalised patches along directions (k, C, patch_size^2), sorted: float32 (k, num_rows)."""
        inverse, mean = self._normalisation()
        # (x - mean) / deviation . d = x . (d / deviation) - mean . (d / deviation)
        weights = directions * inverse[:, None]
        return sort_rows(self._project(weights.flatten(1), weights.sum(2) @ mean), self._pool)

    def projected_without(self, bounds: list[int], directions: Tensor) -> Iterator[Tensor]:
        """Yield `projected` without the images of each part in turn; `bounds` are those of all parts."""
        channels, per_image = directions.shape[1], self._places.shape[2]
        alone = directions[:, None] * torch.eye(channels, dtype=directions.dtype)[:, :, None]  # of each channel
        parts = self._project(alone.flatten(2).flatten(0, 1), directions.new_zeros(len(directions) * channels))
        parts = parts.view(len(directions), channels, self.num_rows)
        for first, end in pairwise(bounds):
            inverse, mean = self._normalisation(first, end)
            left = torch.cat([parts[:, :, : first * per_image], parts[:, :, end * per_image :]], 2)
            found = torch.einsum("kcr,c->kr", left, inverse.to(left))
            found -= (directions.sum(2) @ (inverse * mean))[:, None].to(found)
            yield sort_rows(found, self._pool)

    def _project(self, along: Tensor, back: Tensor) -> Tensor:
        """The patches along directions (k, C * patch_size^2), less a number for each: float32 (k, num_rows)."""
        found = torch.empty(len(along), self.num_rows, device=self._device)
        along, back = along.to(found), back[:, None].to(found)

        def project(first: int) -> None:
            rows = self._kept[first] if first in self._kept else self._cut(first)
            start = first * self._places.shape[2]
            torch.addmm(back, along, rows.T, beta=-1, out=found[:, start : start + len(rows)])

        list(self._pool.map(project, self._chunks))
        return found


def _distance(real: _Patches, fake: _Patches, directions: Tensor) -> float:
    """Mean absolute difference of the sorted projections."""
    step = max(1, PROJECTED_BYTES // (2 * 4 * real.num_rows))
    apart = []
    for some in torch.split(directions, step):
        found = real.projected(some)
        apart.append(found.sub_(fake.projected(some)).abs_().mean(1).cpu().double())
    return float(torch.cat(apart).mean())


def _error(without: NDArray[np.float64], num_directions: int) -> float:
    """The jackknife's standard error of a mean over many directions, from distances (parts, k) along some of them.

    What is a direction's own of the differences between parts is less in the mean over all directions than over k.
    """
    num_parts, num = without.shape
    centred = without - without.mean(0)
    shared = centred.mean(1)
    own = np.square(centred - shared[:, None]).sum() / ((num_parts - 1) * max(num - 1, 1))
    variance = max(np.square(shared).sum() / (num_parts - 1) - own / num, 0.0) + own / num_directions
    return float((num_parts - 1) * (variance / num_parts) ** 0.5)


def _distances_without(real: _Patches, fake: _Patches, bounds: list[int], directions: Tensor) -> NDArray[np.float64]:
    """The distances of the fakes without each part from the reals, at the matching quantiles: (parts, directions)."""
    sorted_real, found = real.projected(directions), []
    for left in fake.projected_without(bounds, directions):
        quantiles = (2 * torch.arange(left.shape[1], device=left.device) + 1) * real.num_rows
        found.append(left.sub_(sorted_real[:, quantiles // (2 * left.shape[1])]).abs_().mean(1).cpu().double())
    return torch.stack(found).numpy()


# The Laplacian pyramid: bands of detail, each half the size of the one before, and the low-pass rest.
# Source: Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983; with the binomial kernel
# (1, 4, 6, 4, 1) / 16 in both directions, and borders mirrored about the outermost pixels (dcb|abcd|cba).


def pyramid_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return the (height, width) of each level, from the image itself to the last whose shorter side has SMALLEST.

    There is at least one, if the image itself is smaller; 64 x 64 has the levels 64, 32 and 16.
    """
    found = [(height, width)]
    while min(height := (height + 1) // 2, width := (width + 1) // 2) >= SMALLEST:
        found.append((height, width))
    return found


def laplacian(images: Tensor, level: int, num_levels: int) -> Tensor:
    """Return one level of the pyramid, 0 the finest detail and num_levels - 1 the low-pass rest.

    The images are float (N, C, H, W), at least 3 pixels wide and high at every level.
    """
    for _ in range(level):
        images = shrink(images)
    if level == num_levels - 1:
        return images
    return images - enlarge(shrink(images), *images.shape[2:])


def shrink(images: Tensor) -> Tensor:
    """Low-pass, and keep every second pixel of every second row: (N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2))."""
    return _blur(images, step=2) / 256


def enlarge(images: Tensor, height: int, width: int) -> Tensor:
    """The reverse: pixels of (N, C, ceil(H / 2), ceil(W / 2)) set among zeros, low-passed and four times as bright."""
    sparse = images.new_zeros(*images.shape[:2], height, width)
    sparse[:, :, ::2, ::2] = images
    return _blur(sparse, step=1) / 64


def _blur(images: Tensor, step: int) -> Tensor:
    """256 times the low-pass, at every `step`-th pixel.

    Sums of shifted images: faster than a convolution of one channel, and of full precision on every device.
    """
    height, width = images.shape[2:]
    rows = pad(images, (2, 2, 2, 2), mode="reflect")
    a, b, c, d, e = (rows[:, :, :, shift : shift + width : step] for shift in range(5))
    rows = torch.add(a + e, b + d, alpha=4).add_(c, alpha=6)
    a, b, c, d, e = (rows[:, :, shift : shift + height : step] for shift in range(5))
    return torch.add(a + e, b + d, alpha=4).add_(c, alpha=6)


@contextmanager
def sorting_threads(device: str) -> Iterator[Executor]:
    """Yield as many single-threaded workers as torch has threads; one, where another device does the work.

    Threads that share nothing but long tasks suffer little when the processor has other work too. Those of torch wait
    for each other in every operation, which then takes many times longer.
    """
    num = torch.get_num_threads()
    try:
        num_threads = num if device == "cpu" else 1
        with ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(num)  # this thread's own never changed, but new ones would begin with 1


def sort_rows(values: Tensor, pool: Executor) -> Tensor:
    """Sort each row of float32 (k, n) in ascending order, in place on the CPU."""
    if values.device.type != "cpu":
        return values.sort(1).values
    sort = pool.submit(_fastest_sort, values.shape[1]).result()

    def sort_each(rows: Tensor) -> None:
        for row in rows:
            sort(row)

    list(pool.map(sort_each, torch.split(values, ROWS_AT_ONCE)))
    return values


@cache
def _fastest_sort(num: int) -> Callable[[Tensor], None]:
    """The faster way to sort so many numbers on this machine; all give the same order.

    Neither is on every processor: with the vector instructions of some, NumPy is 4 times slower than torch, and with
    those of others faster, and not every build of torch has a radix sort.
    """

    def by_comparing(row: Tensor) -> None:
        row.numpy().sort()  # without the interpreter's lock

    row = torch.from_numpy(np.random.default_rng(0).standard_normal(num, np.float32))
    return min((by_comparing, radix_sort), key=lambda sort: min(repeat(lambda: sort(row.clone()), number=1, repeat=2)))


def radix_sort(row: Tensor) -> None:
    """Sort by the bits: torch sorts long rows of integers by their digits, and all others by comparing."""
    bits = row.view(torch.int32)
    bits.copy_(_ordered_bits(_ordered_bits(bits).sort().values))


def _ordered_bits(bits: Tensor) -> Tensor:
    """Integers in the order of the numbers whose bits they are, and back: the negative ones count down."""
    return bits ^ (bits >> 31).bitwise_and_(torch.iinfo(torch.int32).max)


class SlicedWasserstein(Metric):
    """Sliced Wasserstein distance times 1,000: of small patches of images, fine and coarse; the mean over the levels.

    The details hold the distance at every level ("64", "32", "16"), and how many images of each side were compared:
    both sides count equally many, so of the larger one a random part.
    """

    title: ClassVar[str] = "Sliced Wasserstein distance x 1,000"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    smallest: ClassVar[int] = SMALLEST

    num_images: int = Field(default=16_384, ge=2, description="images of each side, at most")
    num_patches: int = Field(default=128, ge=1, description="patches of an image, at every level")
    patch_size: int = Field(default=7, ge=1, le=16, description="pixels of a patch, in both directions")
    num_directions: int = Field(default=512, ge=1, description="random directions that patches are projected on")

    def measure(self, pair: Pair) -> Measurement:
        """Compare equally many images of both sides."""
        num = min(self.num_images, len(pair.real), len(pair.fake))
        return sliced_wasserstein(
            _subset(pair.real, num, pair.seed),
            _subset(pair.fake, num, pair.seed),
            Slicing(self.num_patches, self.patch_size, self.num_directions),
            seed=pair.seed,
            device=pair.device,
            num_parts=NUM_PARTS if pair.intervals else 0,
            progress=pair.progress,
        )


def _subset(sample: Sample, num: int, seed: int) -> Sample:
    """A random part of a sample, in its order; all of it if it has no more."""
    if num == len(sample):
        return sample
    rows = np.sort(np.random.default_rng(seed).permutation(len(sample))[:num])
    return Sample(sample.image_set, sample.rows[rows])
