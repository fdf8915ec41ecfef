"""Linear algebra of directions: fitting one to an attribute, and keeping it from moving others."""

from collections.abc import Sequence

import torch
from torch import Tensor


def fit(z: Tensor, shares: Tensor) -> Tensor:
    """The unit vector (z_dim,) along which a share rises fastest on the whole: least squares with an intercept.

    For the normal prior this is the mean gradient of the share with respect to z (Stein 1981, "Estimation of the mean
    of a multivariate normal distribution", lemma 2), whatever G is like. Shen et al., "Interpreting the Latent Space of
    GANs for Semantic Face Editing", CVPR 2020, section 3.2, fit a hyperplane to the most certain samples instead.

    Args:
        z: Latents (N, z_dim), N well above z_dim.
        shares: (N,) in 0..1, for instance a classifier's probabilities.
    """
    centred = z.double() - z.double().mean(0)
    slope = torch.linalg.lstsq(centred, (shares.double() - shares.double().mean())[:, None]).solution[:, 0]
    return unit(slope).float()


def unit(vector: Tensor) -> Tensor:
    """A vector at length 1; one of length 0 stays as it is."""
    length = vector.norm()
    return vector / length if length > 0 else vector


def keeping(direction: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """A direction (z_dim,) without its part along others, at length 1; 0 where nothing is left of it.

    Source: Shen et al. 2020, section 3.3, "conditional manipulation": n1 - (n1 . n2) n2; for several conditions, the
    projection out of the plane of all of them.
    """
    if not kept:
        return direction
    along, sizes, _ = torch.linalg.svd(torch.stack(list(kept), 1).double(), full_matrices=False)
    basis = along[:, sizes > 1e-6 * sizes[0]]  # orthonormal; what is equal but for the rounding of float32 counts once
    rest = direction.double() - basis @ (basis.T @ direction.double())
    return unit(rest).float() if rest.norm() > 1e-4 * direction.norm() else torch.zeros_like(direction)


def deviation(prior: str) -> float:
    """The standard deviation of each number of z: 1 for the normal prior, 1 / sqrt(3) for the uniform one."""
    return 3**-0.5 if prior == "uniform" else 1.0


def shifted(z: Tensor, shift: Tensor, prior: str) -> Tensor:
    """Latents moved by `shift` standard deviations of the prior; in the uniform one's cube, never out of it.

    Args:
        z: (N, z_dim).
        shift: (z_dim,) or (N, z_dim).
        prior: "normal" or "uniform".
    """
    moved = z + shift * deviation(prior)
    return moved.clamp(-1, 1) if prior == "uniform" else moved
