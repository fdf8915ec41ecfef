"""Diversity: how similar the images of one set are to each other."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...distances.estimate import Estimate
from ...distances.ms_ssim import SMALLEST, diversity
from ..metric import Measurement, Metric
from ..pair import Pair, Sample


class Diversity(Metric):
    """Mean MS-SSIM of random pairs of fakes; above the real images' own value, a generator makes too few faces.

    The details hold the real images' own value and its interval: alone the number says nothing, for images that
    resemble each other by nature have a high one. Noise has a low one and is no better for it.

    Source: Odena et al., "Conditional image synthesis with auxiliary classifier GANs", ICML 2017, section 4.2.
    """

    title: ClassVar[str] = "MS-SSIM of random pairs"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "nearer"

    num_images: int = Field(default=10_000, ge=2, description="pictures of each side, at most, two to a pair")

    def lacks(self, pair: Pair) -> str | None:
        """Pictures, or pixels."""
        height, width = pair.fake.pictures.shape[2:]
        if min(height, width) < SMALLEST:
            return f"needs images of at least {SMALLEST} x {SMALLEST} pixels (they have {width} x {height})"
        return super().lacks(pair)

    def measure(self, pair: Pair) -> Measurement:
        """Of the fakes, beside the reals."""
        fake, real = (self._of(sample, pair) for sample in (pair.fake, pair.real))
        details = {
            "real": real.value,
            "real_interval": real.interval if pair.intervals else None,
            "num_pairs": min(self.num_images, len(pair.fake)) // 2,
            "num_real_pairs": min(self.num_images, len(pair.real)) // 2,
        }
        return Measurement(fake.value, fake.interval if pair.intervals else None, details)

    def _of(self, sample: Sample, pair: Pair) -> Estimate:
        def take(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
            return np.asarray(sample.pictures[sample.rows[numbers]])

        return diversity(take, len(sample), self.num_images, seed=pair.seed, device=pair.device)
