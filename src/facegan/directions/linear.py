"""Linear algebra of directions: fit one to an attribute, make it orthogonal to others."""

from collections.abc import Sequence

import torch
from torch import Tensor


def fit_direction(z: Tensor, shares: Tensor) -> Tensor:
    """Return the unit vector (z_dim,) along which a share rises fastest on average: least squares with an intercept.

    For the normal prior this is the mean gradient of the share with respect to z (Stein 1981, "Estimation of the mean
    of a multivariate normal distribution", lemma 2), for any G. Shen et al., "Interpreting the Latent Space of GANs for
    Semantic Face Editing", CVPR 2020, section 3.2, fit a hyperplane to the most certain samples instead.

    Args:
        z: Latents (N, z_dim), N well above z_dim.
        shares: (N,) in 0..1, for instance a classifier's probabilities.
    """
    centred = z.double() - z.double().mean(0)
    slope = torch.linalg.lstsq(centred, (shares.double() - shares.double().mean())[:, None]).solution[:, 0]
    return _unit(slope).float()


def orthogonalise(direction: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Return a direction (z_dim,) without its part along others, at length 1; 0 where nothing is left of it.

    Source: Shen et al. 2020, section 3.3, "conditional manipulation": n1 - (n1 . n2) n2; for several conditions, the
    projection out of the plane of all of them.
    """
    if not others:
        return direction
    along, sizes, _ = torch.linalg.svd(torch.stack(list(others), 1).double(), full_matrices=False)
    basis = along[:, sizes > 1e-6 * sizes[0]]  # orthonormal; vectors equal up to float32 rounding count once
    rest = direction.double() - basis @ (basis.T @ direction.double())
    return _unit(rest).float() if rest.norm() > 1e-4 * direction.norm() else torch.zeros_like(direction)


def _unit(vector: Tensor) -> Tensor:
    length = vector.norm()
    return vector / length if length > 0 else vector
