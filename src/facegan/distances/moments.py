"""Mean and covariance of vectors that come in batches, in float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Moments:
    """Count, mean and scatter of vectors.

    Attributes:
        num: How many vectors.
        mean: float64 (d,).
        scatter: float64 (d, d): the sum of (x - mean)(x - mean)^T.
    """

    num: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def empty(cls, num_features: int) -> "Moments":
        """Of no vectors yet."""
        return cls(0, np.zeros(num_features), np.zeros((num_features, num_features)))

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "Moments":
        """Of vectors (n, d), n >= 1."""
        values = vectors.astype(np.float64)
        mean = values.mean(0)
        centred = values - mean
        return cls(len(values), mean, centred.T @ centred)

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Take in further vectors (n, d), n >= 1."""
        whole = self + Moments.of(vectors)
        self.num, self.mean, self.scatter = whole.num, whole.mean, whole.scatter

    def __add__(self, other: "Moments") -> "Moments":
        """Of both sets together.

        Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
        """
        if not self.num or not other.num:
            kept = other if not self.num else self
            return Moments(kept.num, kept.mean.copy(), kept.scatter.copy())
        num = self.num + other.num
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.num / num)
        scatter = self.scatter + other.scatter + np.outer(shift, shift) * (self.num * other.num / num)
        return Moments(num, mean, scatter)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The unbiased estimate, float64 (d, d): scatter / (num - 1)."""
        return self.scatter / (self.num - 1)
