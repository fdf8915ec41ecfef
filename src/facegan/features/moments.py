"""Mean and covariance of vectors that come in batches, in float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm


@dataclass
class Moments:
    """Count, mean and scatter of vectors.

    Attributes:
        num: Number of vectors.
        mean: float64 (d,).
        scatter: float64 (d, d): the sum of (x - mean)(x - mean)^T.
    """

    num: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def empty(cls, num_features: int) -> "Moments":
        """Return the moments of no vectors."""
        return cls(0, np.zeros(num_features), np.zeros((num_features, num_features)))

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "Moments":
        """Return the moments of vectors (n, d), n >= 1."""
        moments = cls.empty(vectors.shape[1])
        moments.add(vectors)
        return moments

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Add vectors (n, d), n >= 1, in place.

        Each batch is centred by its own mean, so that large means cost no digits. The distance between the two means
        joins the batch as one more row: scatter + rows^T rows is then one product, accumulated in place.

        Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979,
        equation 2.1.
        """
        centred = vectors.astype(np.float64)
        mean = centred.mean(0)
        centred -= mean
        num = self.num + len(centred)
        shift = mean - self.mean
        rows = np.vstack([centred, shift * np.sqrt(self.num * len(centred) / num)])  # (n + 1, d)
        self.scatter = dgemm(1.0, rows.T, rows.T, 1.0, self.scatter.T, trans_b=True, overwrite_c=True).T
        self.mean += shift * (len(centred) / num)
        self.num = num

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together, by the same formula."""
        num = self.num + other.num
        shift = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(shift, shift * (self.num * other.num / max(num, 1)))
        return Moments(num, self.mean + shift * (other.num / max(num, 1)), scatter)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The unbiased estimate, float64 (d, d): scatter / (num - 1)."""
        return self.scatter / (self.num - 1)
