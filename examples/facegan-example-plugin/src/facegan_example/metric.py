"""A metric: whether generated images are as sharp as real ones."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from facegan.evaluation import Measurement, Metric, Pair, Sample


class Sharpness(Metric):
    """The mean sharpness of generated images over that of real ones: 1 is as sharp, less is blurred.

    The sharpness of an image is the mean absolute difference of neighbouring pixels in a row.
    """

    title: ClassVar[str] = "Sharpness, over that of real images"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "nearer"
    space: ClassVar[str] = "pixels"  # or "random", "discriminator", "inception": the features in `Sample.seen`
    at_least: ClassVar[int] = 10

    num_images: int = Field(default=1000, ge=10, description="number of images of each side, the first ones")

    def measure(self, pair: Pair) -> Measurement:
        """Return the value and the 95 % interval of its mean over sets of fakes: 1.96 standard errors either way."""
        real, fake = self._sharpness(pair.real), self._sharpness(pair.fake)
        value = float(fake.mean() / real.mean())
        if not pair.intervals:
            return Measurement(value)
        margin = 1.96 * float(fake.std(ddof=1) / len(fake) ** 0.5 / real.mean())
        return Measurement(value, (value - margin, value + margin), {"real": float(real.mean())})

    def _sharpness(self, sample: Sample) -> np.ndarray:
        """Return the sharpness of each image of one side, float64 (n,)."""
        images = sample.take(0, self.num_images).astype(np.float64)  # (n, C, H, W)
        return np.abs(np.diff(images, axis=3)).mean((1, 2, 3))
