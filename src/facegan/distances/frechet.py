"""The Fréchet distance of two Gaussians, exact for singular covariances too."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf
from scipy.stats import norm

from .estimate import Estimate
from .moments import Moments

_CHUNK = 2048  # vectors at a time


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution by its mean and any factor of its covariance.

    Attributes:
        mean: float64 (d,).
        factor: float64 (d, r): the covariance is factor factor^T, of rank r at most.
        num: How many vectors it was fitted to.
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    num: int

    @classmethod
    def of(cls, moments: Moments, vectors: NDArray[np.floating] | None = None) -> "Gaussian":
        """Fitted to vectors whose moments are known, with the unbiased covariance; two vectors at least.

        Args:
            moments: Of all n vectors.
            vectors: (m, d). Where these are all (m = n) and no more than d, they are a factor themselves once centred:
                no covariance is formed, whose zeros would be known to rounding alone.
        """
        if vectors is not None and len(vectors) == moments.num <= len(moments.mean):
            return cls(moments.mean, (vectors - moments.mean).T / np.sqrt(moments.num - 1), moments.num)
        # Cholesky with pivots ends where what is left is rounding: below d * 2.2e-16 of the largest variance.
        lower, pivots, rank, _ = dpstrf(moments.covariance.T, lower=True, overwrite_a=True)
        factor = np.zeros((len(moments.mean), rank))
        factor[pivots - 1] = np.tril(lower)[:, :rank]
        return cls(moments.mean, factor, moments.num)


def frechet(real: Gaussian, fake: Gaussian, drawn: NDArray[np.floating] | None = None) -> Estimate:
    """|mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), in float64; 0 for equal Gaussians, never below.

    For factors S = L L^T the last trace is the sum of the singular values of L_r^T L_f, which needs no root of a
    matrix and no inverse. So covariances may be singular, as those of fewer vectors than features always are.

    The interval says where the distance lies in 95 of 100 cases if as many other fakes were drawn (not where it lies
    for more of them: the distance falls with their number). A fake x, c = x - mu_f, moves the distance by 1/n of
    2 (mu_f - mu_r)^T c + c^T c - c^T T c, less the mean of that over all fakes; T is the optimal transport from the
    fakes' Gaussian to that of the reals. The standard error is that of the mean of these influences: the
    infinitesimal jackknife, without computing any distance anew.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982, equation 4; on
    features of Inception it is the FID of Heusel et al., NeurIPS 2017, equation 6. The influence follows from their
    formula by differentiation; the infinitesimal jackknife is Jaeckel's, 1972.

    Args:
        real: Fitted to the reals.
        fake: Fitted to the fakes.
        drawn: For an interval, vectors of fakes (m, d): all, or of a large set the first thousands.
    """
    product = real.factor.T @ fake.factor  # (rank of the reals, rank of the fakes)
    if drawn is None:
        values = np.linalg.svd(product, compute_uv=False)
    else:
        left, values, _ = np.linalg.svd(product, full_matrices=False)
    traces = np.square(real.factor).sum() + np.square(fake.factor).sum() - 2 * values.sum()
    value = max(0.0, float(np.square(fake.mean - real.mean).sum() + traces))
    if drawn is None:
        return Estimate(value)
    kept = values > values.max(initial=0) * max(product.shape) * np.finfo(np.float64).eps
    root = real.factor @ (left[:, kept] / np.sqrt(values[kept]))  # (d, rank): T = root root^T
    margin = float(norm.ppf(0.975) * _influence(real, fake, root, drawn).std(ddof=1) / np.sqrt(fake.num))
    return Estimate(value, (max(0.0, value - margin), value + margin))


def _influence(
    real: Gaussian, fake: Gaussian, root: NDArray[np.float64], drawn: NDArray[np.floating]
) -> NDArray[np.float64]:
    """2 (mu_f - mu_r)^T c + c^T c - c^T root root^T c for every vector x, c = x - mu_f: (m,)."""
    found = np.empty(len(drawn))
    for start in range(0, len(drawn), _CHUNK):
        centred = drawn[start : start + _CHUNK] - fake.mean
        transported = np.square(centred @ root).sum(1)
        found[start : start + _CHUNK] = (centred * (centred + 2 * (fake.mean - real.mean))).sum(1) - transported
    return found
