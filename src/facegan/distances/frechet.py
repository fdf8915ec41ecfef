"""The Fréchet distance of two Gaussians."""

import numpy as np

from .moments import Moments


def frechet(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in float64; 0 for equal moments.

    Source: Dowson and Landau 1982, equation 4; on features of Inception it is the FID of Heusel et al., NeurIPS 2017,
    equation 6.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    shift = float(np.square(a.mean - b.mean).sum())
    traces = float(np.trace(a.covariance) + np.trace(b.covariance))
    return shift + traces - 2 * float(np.sqrt(np.maximum(inner, 0)).sum())
