"""The Fréchet distance, in three spaces."""

from typing import ClassVar, Literal

import numpy as np

from ...distances.frechet import Gaussian, frechet
from ..metric import Measurement
from ..pair import Pair, Sample
from .vectors import VectorMetric


class FrechetInception(VectorMetric):
    """FID: Fréchet distance of Inception's vectors. Below 2,048 images it says more of their number than of them."""

    title: ClassVar[str] = "Fréchet Inception Distance"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    space: ClassVar[str] = "inception"
    at_least: ClassVar[int] = 10

    def measure(self, pair: Pair) -> Measurement:
        """Of all images of both sides; the interval takes the vectors that were kept."""
        real, fake = _gaussian(pair.real), _gaussian(pair.fake)
        found = frechet(real, fake, pair.fake.seen.features if pair.intervals else None)
        means = float(np.square(fake.mean - real.mean).sum())
        return Measurement(found.value, found.interval, {"means": means, "covariances": found.value - means})


class FrechetRandom(FrechetInception):
    """Fréchet distance of a small network's vectors whose weights are random: needs no download."""

    title: ClassVar[str] = "Fréchet distance, random network"
    space: ClassVar[str] = "random"


class FrechetDiscriminator(FrechetInception):
    """Fréchet distance of what the run's own discriminator sees: comparable within one snapshot alone."""

    title: ClassVar[str] = "Fréchet distance, discriminator"
    space: ClassVar[str] = "discriminator"


def _gaussian(sample: Sample) -> Gaussian:
    return Gaussian.of(sample.seen.moments, sample.seen.features)
