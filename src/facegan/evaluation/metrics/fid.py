"""The Fréchet distance of two sets of vectors, exact for singular covariances too, in three spaces."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf
from scipy.stats import norm

from ...features import Embedding, Moments
from ..metric import Measurement, Metric, Pair

_CHUNK = 2048  # vectors at a time


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution by its mean and any factor of its covariance."""

    mean: NDArray[np.float64]  # (d,)
    factor: NDArray[np.float64]  # (d, r): the covariance is factor factor^T, of rank r at most
    num: int  # of the vectors that it was fitted to

    @classmethod
    def fit(cls, moments: Moments, vectors: NDArray[np.floating] | None = None) -> "Gaussian":
        """Fit the mean and the unbiased covariance of n vectors, 2 or more.

        Where `vectors` (m, d) are all of them, and no more than d, the centred vectors themselves are a factor: no
        covariance is formed, whose zeros would be known only up to rounding.
        """
        if vectors is not None and len(vectors) == moments.num <= len(moments.mean):
            return cls(moments.mean, (vectors - moments.mean).T / np.sqrt(moments.num - 1), moments.num)
        # Cholesky with pivots ends where only rounding is left: below d * 2.2e-16 of the largest variance.
        lower, pivots, rank, _ = dpstrf(moments.covariance.T, lower=True, overwrite_a=True)
        factor = np.zeros((len(moments.mean), rank))
        factor[pivots - 1] = np.tril(lower)[:, :rank]
        return cls(moments.mean, factor, moments.num)


def frechet_distance(real: Gaussian, fake: Gaussian, vectors: NDArray[np.floating] | None = None) -> Measurement:
    """|mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), in float64; 0 for equal Gaussians, never below.

    For factors S = L L^T the last trace is the sum of the singular values of L_r^T L_f, which needs no root of a
    matrix and no inverse. So covariances may be singular, as those of fewer vectors than features always are.

    The interval is one of the mean distance over sets of as many fakes (not of more: the distance falls with their
    number). A fake x, c = x - mu_f, moves the distance by 1/n of 2 (mu_f - mu_r)^T c + c^T c - c^T T c, less the mean
    of that over all fakes; T is the optimal transport from the fakes' Gaussian to that of the reals. The standard error
    is that of the mean of these influences: the infinitesimal jackknife, which needs no further distance.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982, equation 4; on
    features of Inception it is the FID of Heusel et al., NeurIPS 2017, equation 6. The influence follows from their
    formula by differentiation; the infinitesimal jackknife is Jaeckel's, 1972.

    It takes vectors of fakes (m, d): all, or of a large set the first thousands.
    """
    product = real.factor.T @ fake.factor  # (rank of the reals, rank of the fakes)
    if vectors is None:
        values = np.linalg.svd(product, compute_uv=False)
    else:
        left, values, _ = np.linalg.svd(product, full_matrices=False)
    traces = np.square(real.factor).sum() + np.square(fake.factor).sum() - 2 * values.sum()
    means = float(np.square(fake.mean - real.mean).sum())
    value = max(0.0, float(means + traces))
    details = {"means": means, "covariances": value - means}
    if vectors is None:
        return Measurement(value, None, details)
    kept = values > values.max(initial=0) * max(product.shape) * np.finfo(np.float64).eps
    root = real.factor @ (left[:, kept] / np.sqrt(values[kept]))  # (d, rank): T = root root^T
    margin = float(norm.ppf(0.975) * _influence(real, fake, root, vectors).std(ddof=1) / np.sqrt(fake.num))
    return Measurement(value, (max(0.0, value - margin), value + margin), details)


def _influence(
    real: Gaussian, fake: Gaussian, root: NDArray[np.float64], vectors: NDArray[np.floating]
) -> NDArray[np.float64]:
    """2 (mu_f - mu_r)^T c + c^T c - c^T root root^T c for every vector x, c = x - mu_f: (m,)."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        centred = vectors[start : start + _CHUNK] - fake.mean
        transported = np.square(centred @ root).sum(1)
        found[start : start + _CHUNK] = (centred * (centred + 2 * (fake.mean - real.mean))).sum(1) - transported
    return found


class FrechetInception(Metric):
    """FID: Fréchet distance of Inception's vectors. Below 2,048 images it says more of their number than of them."""

    title: ClassVar[str] = "Fréchet Inception Distance"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    space: ClassVar[str] = "inception"
    at_least: ClassVar[int] = 10

    def measure(self, pair: Pair) -> Measurement:
        """Compare all images of both sides; the interval uses the vectors that were kept."""
        vectors = pair.fake.seen.features if pair.intervals else None
        return frechet_distance(_gaussian(pair.real.seen), _gaussian(pair.fake.seen), vectors)


class FrechetRandom(FrechetInception):
    """Fréchet distance of a small network's vectors whose weights are random: needs no download."""

    title: ClassVar[str] = "Fréchet distance, random network"
    space: ClassVar[str] = "random"


class FrechetDiscriminator(FrechetInception):
    """Fréchet distance of the vectors of the run's own discriminator: comparable within one snapshot alone."""

    title: ClassVar[str] = "Fréchet distance, discriminator"
    space: ClassVar[str] = "discriminator"


def _gaussian(embedding: Embedding) -> Gaussian:
    return Gaussian.fit(embedding.moments, embedding.features)
