"""Multi-scale structural similarity of pairs of images, and the mean over random pairs of one set: its diversity.

Source: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", 2003; as a measure of
diversity: Odena, Olah, Shlens, "Conditional image synthesis with auxiliary classifier GANs", ICML 2017, section 4.2,
and Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs", ICLR 2018. As there, a window that is larger than the
images of a level shrinks to them, its standard deviation with it; structure is averaged over pixels and channels
together; and values below 0 count as 0, for they are raised to a fractional power.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import stats
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..metric import Measurement, Metric, Pair, Sample

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the levels, from the finest on
SMALLEST = 2 ** (len(WEIGHTS) - 1)  # pixels: the last level has one
WINDOW = 11  # pixels
SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
CHUNK = 2**20  # numbers of one side at a time


def diversity(sample: Sample, at_most: int, *, seed: int = 0, device: str = "cpu") -> Measurement:
    """Mean similarity of disjoint random pairs: 1 where all images are one, lower the more they differ.

    The pairs are independent, so the interval is Student's t of their mean.

    `at_most` of the images, which are at least 16 x 16, take part; with an odd number one is left over.
    """
    rows = sample.rows[np.random.default_rng(seed).permutation(len(sample))[:at_most]]
    pairs = len(rows) // 2
    step = max(1, CHUNK // sample.images[0].size)
    found = []
    for start in range(0, pairs, step):
        end = min(start + step, pairs)
        sides = (np.asarray(sample.images[rows[first + start : first + end]]) for first in (0, pairs))
        found.append(ms_ssim(*(torch.from_numpy(side).to(device) for side in sides)).cpu().double())
    values = torch.cat(found).numpy()
    value = float(values.mean())
    if len(values) < 2:
        return Measurement(value)
    margin = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return Measurement(value, (value - margin, value + margin))


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Similarity of each of n pairs, from 0 to 1: (n,).

    Both are uint8 (n, C, H, W), at least 16 pixels wide and high. Of odd sizes the last row or column has no part in
    the next level.
    """
    # Variances are small differences of large numbers; one kind of device knows no float64.
    dtype = torch.float32 if a.device.type == "mps" else torch.float64
    x, y = a.to(dtype), b.to(dtype)
    product = x.new_ones(len(x))
    for level, weight in enumerate(WEIGHTS):
        similarity, contrast = _ssim(x, y)
        last = level == len(WEIGHTS) - 1
        product *= (similarity if last else contrast).clamp_min(0) ** weight
        if not last:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
    return product


def _ssim(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Structural similarity, and its part of contrast and structure without luminance: means over pixels, (n,)."""
    size = min(WINDOW, *x.shape[2:])
    rows, columns = (_windows(length, size).to(x) for length in x.shape[2:])

    def smooth(values: Tensor) -> Tensor:
        return rows @ values @ columns.T  # a product of matrices is faster than a convolution of one channel

    mean_x, mean_y = smooth(x), smooth(y)
    between = smooth(x * y) - mean_x * mean_y
    within = smooth(x * x + y * y) - mean_x.square() - mean_y.square()
    contrast = (2 * between + C2) / (within + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _windows(length: int, size: int) -> Tensor:
    """The Gaussian window at each place where it fits: float64 (length - size + 1, length); rows sum to 1."""
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    window = torch.exp(-offset.square() / (2 * (SIGMA * size / WINDOW) ** 2))
    found = torch.zeros(length - size + 1, length, dtype=torch.float64)
    for place, row in enumerate(found):
        row[place : place + size] = window / window.sum()
    return found


class Diversity(Metric):
    """Mean MS-SSIM of random pairs of fakes; above the real images' own value, a generator makes too few faces.

    The details hold the real images' own value and its interval: alone the number says nothing, for images that
    resemble each other by nature have a high one. Noise has a low one and is no better for it.
    """

    title: ClassVar[str] = "MS-SSIM of random pairs"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "nearer"
    smallest: ClassVar[int] = SMALLEST

    num_images: int = Field(default=10_000, ge=2, description="images of each side, at most, two to a pair")

    def measure(self, pair: Pair) -> Measurement:
        """Measure the fakes, and the reals next to them."""
        fake, real = (
            diversity(each, self.num_images, seed=pair.seed, device=pair.device) for each in (pair.fake, pair.real)
        )
        details = {
            "real": real.value,
            "real_interval": real.interval if pair.intervals else None,
            "num_pairs": min(self.num_images, len(pair.fake)) // 2,
            "num_real_pairs": min(self.num_images, len(pair.real)) // 2,
        }
        return Measurement(fake.value, fake.interval, details)
