"""The kernel distance, in three spaces."""

from typing import ClassVar, Literal

from pydantic import Field

from ...distances.kernel import kernel_distance
from ..metric import Measurement
from ..pair import Pair
from .vectors import VectorMetric


class KernelInception(VectorMetric):
    """KID: squared maximum mean discrepancy of Inception's vectors, unbiased for any number of images.

    Attributes:
        num_subsets: Over which it is a mean.
        subset_size: Images of either side in a subset, no more than the smaller side has.
    """

    title: ClassVar[str] = "Kernel Inception Distance"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    space: ClassVar[str] = "inception"
    at_least: ClassVar[int] = 10
    has_ratio: ClassVar[bool] = False  # unbiased: real images are 0 apart on average

    num_subsets: int = Field(default=100, ge=1)
    subset_size: int = Field(default=1000, ge=2)

    def measure(self, pair: Pair) -> Measurement:
        """Of the images whose vectors were kept."""
        real, fake = pair.real.seen.features, pair.fake.seen.features
        found = kernel_distance(
            real,
            fake,
            num_subsets=self.num_subsets,
            subset_size=self.subset_size,
            seed=pair.seed,
            interval=pair.intervals,
        )
        details = {"spread": found.spread, "used_subset_size": found.subset_size}
        return Measurement(found.value, found.interval, {**details, "used_real": len(real), "used_fake": len(fake)})


class KernelRandom(KernelInception):
    """Kernel distance of a small network's vectors whose weights are random: needs no download."""

    title: ClassVar[str] = "kernel distance, random network"
    space: ClassVar[str] = "random"


class KernelDiscriminator(KernelInception):
    """Kernel distance of what the run's own discriminator sees: comparable within one snapshot alone."""

    title: ClassVar[str] = "kernel distance, discriminator"
    space: ClassVar[str] = "discriminator"
