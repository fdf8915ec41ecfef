"""The kernel distance: the squared maximum mean discrepancy with a polynomial kernel, unbiased."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .estimate import Estimate


@dataclass(frozen=True)
class KernelDistance(Estimate):
    """The mean over subsets.

    Attributes:
        spread: Standard deviation over the subsets: what one of that size would scatter by. It is no error of the
            mean, since the subsets overlap; other tools print it beside the value.
        subset_size: Vectors of either side in a subset.
    """

    spread: float = 0.0
    subset_size: int = 0


def kernel_distance(
    real: NDArray[np.float32],
    fake: NDArray[np.float32],
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    interval: bool = True,
) -> KernelDistance:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) with k(x, y) = (x.y / d + 1)^3: 0 on average for equal distributions.

    The same subsets as torch-fidelity's of the same seed, so the same number. Products are taken in float32, as
    there, sums in float64.

    The interval says where the mean lies in 95 of 100 cases if as many other fakes were drawn and the reals stayed. A
    fake y moves the distance by 2/n of E_y' k(y, y') - E_x k(x, y), less its mean over all fakes: the influence in a
    U-statistic. The subsets' own rows estimate it for every fake; to the variance of the mean influence comes what
    the choice of subsets adds, their variance divided by their number.

    Source: Binkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, sections 2.1 and 4; the
    unbiased estimate is equation 4 of Gretton et al., "A kernel two-sample test", JMLR 2012.

    Args:
        real: (n, d), n >= 2.
        fake: (m, d), m >= 2.
        num_subsets: How many; one where either side is a single subset, all of it.
        subset_size: Vectors of either side; no more than the smaller side has.
        seed: Of the subsets.
        interval: Whether to give one.
    """
    size = min(subset_size, len(real), len(fake))
    if size == len(real) == len(fake):
        num_subsets = 1  # all would be the same
    dice = np.random.RandomState(seed % 2**32)
    values = np.empty(num_subsets)
    influence, times = np.zeros(len(fake)), np.zeros(len(fake))
    for number in range(num_subsets):
        chosen = dice.choice(len(fake), size, replace=False)
        y, x = fake[chosen], real[dice.choice(len(real), size, replace=False)]
        to_fakes = _others(y) / (size - 1)  # (size,)
        to_reals = _kernel(y, x).sum(1, dtype=np.float64) / size
        values[number] = to_fakes.mean() + _others(x).mean() / (size - 1) - 2 * to_reals.mean()
        influence[chosen] += 2 * (to_fakes - to_reals)
        times[chosen] += 1
    value, spread = float(values.mean()), float(values.std())
    if not interval:
        return KernelDistance(value, None, spread, size)
    seen = influence[times > 0] / times[times > 0]
    error = np.sqrt(seen.var(ddof=1) / len(fake) + spread**2 / max(num_subsets - 1, 1))
    margin = float(norm.ppf(0.975) * error)
    return KernelDistance(value, (value - margin, value + margin), spread, size)


def _others(x: NDArray[np.float32]) -> NDArray[np.float64]:
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
