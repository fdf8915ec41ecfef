"""The kernel distance: the squared maximum mean discrepancy with a polynomial kernel, unbiased, in three spaces."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import norm

from ..metric import Measurement, Metric, Pair


def kernel_distance(
    real: NDArray[np.float32],
    fake: NDArray[np.float32],
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> Measurement:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) with k(x, y) = (x.y / d + 1)^3: 0 on average for equal distributions.

    The value is the mean over subsets, which are those of torch-fidelity for the same seed, so the number is the same.
    Products are taken in float32, as there, sums in float64. "spread" in the details is the standard deviation over the
    subsets, which other tools print; it is no error of the mean, since subsets overlap.

    The interval is one of the mean over sets of as many fakes, with the same reals. A fake y moves the distance by 2/n
    of E_y' k(y, y') - E_x k(x, y), less its mean over all fakes: the influence in a U-statistic, which the subsets'
    rows estimate. To the variance of its mean comes that of the choice of subsets.

    Source: Binkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, sections 2.1 and 4; the
    unbiased estimate is equation 4 of Gretton et al., "A kernel two-sample test", JMLR 2012.

    Args:
        real: (n, d), n >= 2.
        fake: (m, d), m >= 2.
        num_subsets: 1 is taken where both sides are a single subset.
        subset_size: Vectors of either side in a subset, at most.
        seed: Of the subsets.
    """
    size = min(subset_size, len(real), len(fake))
    if size == len(real) == len(fake):
        num_subsets = 1  # all would be the same
    rng = np.random.RandomState(seed % 2**32)
    values = np.empty(num_subsets)
    influence, times = np.zeros(len(fake)), np.zeros(len(fake))
    for number in range(num_subsets):
        chosen = rng.choice(len(fake), size, replace=False)
        y, x = fake[chosen], real[rng.choice(len(real), size, replace=False)]
        to_fakes = _sum_to_others(y) / (size - 1)  # (size,)
        to_reals = _kernel(y, x).sum(1, dtype=np.float64) / size
        values[number] = to_fakes.mean() + _sum_to_others(x).mean() / (size - 1) - 2 * to_reals.mean()
        influence[chosen] += 2 * (to_fakes - to_reals)
        times[chosen] += 1
    value, spread = float(values.mean()), float(values.std())
    details = {"spread": spread, "used_subset_size": size, "used_real": len(real), "used_fake": len(fake)}
    mean_influence = influence[times > 0] / times[times > 0]
    variance = mean_influence.var(ddof=1) / len(fake) + spread**2 / max(num_subsets - 1, 1)
    margin = float(norm.ppf(0.975) * np.sqrt(variance))
    return Measurement(value, (value - margin, value + margin), details)


def _sum_to_others(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The sum of the kernel of each vector with all others: (n,)."""
    kernel = _kernel(x, x)
    np.fill_diagonal(kernel, 0)
    total: NDArray[np.float64] = kernel.sum(1, dtype=np.float64)
    return total


def _kernel(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    base: NDArray[np.float32] = x @ y.T
    base /= x.shape[1]
    base += 1
    return base * base * base


class KernelInception(Metric):
    """KID: squared maximum mean discrepancy of Inception's vectors, unbiased for any number of images."""

    title: ClassVar[str] = "Kernel Inception Distance"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    space: ClassVar[str] = "inception"
    at_least: ClassVar[int] = 10
    has_ratio: ClassVar[bool] = False  # unbiased: real images are 0 apart on average

    num_subsets: int = Field(default=100, ge=1)  # the value is their mean
    subset_size: int = Field(default=1000, ge=2)  # images of either side, no more than the smaller side has

    def measure(self, pair: Pair) -> Measurement:
        """Compare the images whose vectors were kept."""
        return kernel_distance(
            pair.real.seen.features,
            pair.fake.seen.features,
            num_subsets=self.num_subsets,
            subset_size=self.subset_size,
            seed=pair.seed,
        )


class KernelRandom(KernelInception):
    """Kernel distance of a small network's vectors whose weights are random: needs no download."""

    title: ClassVar[str] = "kernel distance, random network"
    space: ClassVar[str] = "random"


class KernelDiscriminator(KernelInception):
    """Kernel distance of the vectors of the run's own discriminator: comparable within one snapshot alone."""

    title: ClassVar[str] = "kernel distance, discriminator"
    space: ClassVar[str] = "discriminator"
