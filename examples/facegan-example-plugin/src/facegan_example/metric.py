"""A metric of one's own: whether generated images are as sharp as real ones."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from facegan.evaluation import Measurement, Metric, Pair, Sample


class Sharpness(Metric):
    """The mean sharpness of generated images, over that of real ones: 1 for images as sharp, less for blurred ones.

    The sharpness of an image is the mean absolute difference of pixels side by side.
    """

    title: ClassVar[str] = "Sharpness, over that of real images"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "nearer"
    space: ClassVar[str] = "pixels"  # or "random", "discriminator", "inception": whose vectors `Sample.seen` holds
    at_least: ClassVar[int] = 10

    num_images: int = Field(default=1000, ge=10, description="pictures of each side, the first ones")

    def measure(self, pair: Pair) -> Measurement:
        """The interval is over other generated images: twice the standard error to either side, for 95 %."""
        real, fake = self._sharpness(pair.real), self._sharpness(pair.fake)
        value = float(fake.mean() / real.mean())
        if not pair.intervals:
            return Measurement(value)
        margin = 1.96 * float(fake.std(ddof=1) / len(fake) ** 0.5 / real.mean())
        return Measurement(value, (value - margin, value + margin), {"real": float(real.mean())})

    def _sharpness(self, sample: Sample) -> np.ndarray:
        """Of each image of a side, in float64."""
        pictures = sample.take(0, self.num_images).astype(np.float64)  # (n, C, H, W)
        return np.abs(np.diff(pictures, axis=3)).mean((1, 2, 3))
