"""Adversarial losses: logits in, losses out.

The logit of an image is what D returns for it. Of a loss with the sigmoid it is D's log-odds that the image is real,
D(x) = sigmoid(logit). Everything is written with softplus on logits, -log sigmoid(l) = softplus(-l) and
-log(1 - sigmoid(l)) = softplus(l), so that no logarithm of a rounded probability is taken.

A loss is a frozen pydantic model with the methods `discriminator` and `generator`. It may also have

- `pairs = True`: G's step receives the logits of the real images by the updated D, without a gradient; otherwise those
  from before D's update, which cost nothing;
- `scores(real_logits, fake_logits)`: D(x) and D(G(z)) as the curves and the health of a run show them; without it, the
  sigmoids of the logits;
- `needs_penalty = True`: training without a penalty on D's gradients deserves a warning.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import relu, softplus


class DiscriminatorLoss(NamedTuple):
    """The two terms of D's loss, each a scalar; their sum is minimised."""

    real: Tensor
    fake: Tensor


class Scores(NamedTuple):
    """D(x) and D(G(z)): how real D finds the images, (N,) in [0, 1]; 1/2 is balance."""

    real: Tensor
    fake: Tensor


class Loss(BaseModel):
    """The base of the built-in losses: no pairs, sigmoids as scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: ClassVar[bool] = False
    needs_penalty: ClassVar[bool] = False

    def scores(self, real_logits: Tensor, fake_logits: Tensor) -> Scores | None:
        """Return D(x) and D(G(z)) of logits (N,); None for logits that only their differences give a meaning."""
        return Scores(real_logits.sigmoid(), fake_logits.sigmoid())


def scores(loss: Any, real_logits: Tensor, fake_logits: Tensor) -> Scores | None:
    """Return the scores of a loss, which may be a plugin's without the method."""
    method = getattr(loss, "scores", None)
    return method(real_logits, fake_logits) if method else Scores(real_logits.sigmoid(), fake_logits.sigmoid())


def has_scores(loss: Any) -> bool:
    """Return whether D(x) and D(G(z)) mean anything for a loss."""
    return scores(loss, torch.zeros(1), torch.zeros(1)) is not None


class NonSaturating(Loss):
    """The non-saturating loss: G maximises log D(G(z)) instead of minimising log(1 - D(G(z))).

    Source: Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, equation 1 and the end of section 3;
    one-sided label smoothing: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, section 3.4.
    """

    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="D's label for a real image is 1 minus this; for a fake it is 0"
    )

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> DiscriminatorLoss:
        """Return -[log D(x) + log(1 - D(G(z)))] of logits (N,), each term averaged over its mini-batch.

        With the label y = 1 - label_smoothing the first is the cross-entropy -[y log D(x) + (1 - y) log(1 - D(x))].
        """
        y = 1.0 - self.label_smoothing
        real = y * softplus(-real_logits) + self.label_smoothing * softplus(real_logits)
        return DiscriminatorLoss(real.mean(), softplus(fake_logits).mean())

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Return the mean of -log D(G(z)): strong gradients where D is sure of the fakes; `real_logits` is unused."""
        del real_logits
        return softplus(-fake_logits).mean()


class Saturating(NonSaturating):
    """The minimax loss: G minimises log(1 - D(G(z))), whose gradient vanishes as D(G(z)) goes to 0.

    Source: Goodfellow et al. 2014, equation 1 and algorithm 1.
    """

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Return the mean of log(1 - D(G(z))); `real_logits` is unused."""
        del real_logits
        return -softplus(fake_logits).mean()


class Relativistic(Loss):
    """The relativistic pairing loss: D(x) exceeds D(G(z)) of the fake that x is paired with, as far as D can see to it.

    With f(t) = -log sigmoid(t), D minimises E f(l(x) - l(G(z))) and G minimises E f(l(G(z)) - l(x)). Only differences
    count: a logit on its own has no meaning. The problem has no local minima in which G drops modes (Sun et al. 2020),
    and it converges with penalties on both real images and fakes.

    Source: Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019, section 4; Huang et al., "The GAN is dead;
    long live the GAN! A Modern GAN Baseline", NeurIPS 2024, equation 2; Sun et al., "Towards a Better Global Loss
    Landscape of GANs", NeurIPS 2020.
    """

    pairs: ClassVar[bool] = True

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> DiscriminatorLoss:
        """Return the mean of softplus(l(G(z)) - l(x)) over pairs of logits (N,), half of it as either term."""
        half = softplus(fake_logits - real_logits).mean() / 2
        return DiscriminatorLoss(half, half)

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Return the mean of softplus(l(x) - l(G(z))) over pairs of logits (N,); none of x's carries a gradient."""
        return softplus(real_logits - fake_logits).mean()

    def scores(self, real_logits: Tensor, fake_logits: Tensor) -> Scores:
        """Return the probability that the image of a pair is the real one, by D, and 1 minus it for the fake."""
        real = (real_logits - fake_logits).sigmoid()
        return Scores(real, 1 - real)


class Hinge(Loss):
    """The hinge loss: D pushes real images above 1 and fakes below -1, and no further.

    Source: Lim and Ye, "Geometric GAN", 2017; Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", ICLR 2018, equations 16 and 17.
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> DiscriminatorLoss:
        """Return the means of max(0, 1 - l(x)) and max(0, 1 + l(G(z))) of logits (N,)."""
        return DiscriminatorLoss(relu(1 - real_logits).mean(), relu(1 + fake_logits).mean())

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Return the mean of -l(G(z)); `real_logits` is unused."""
        del real_logits
        return -fake_logits.mean()

    def scores(self, real_logits: Tensor, fake_logits: Tensor) -> Scores:
        """Return the places of the logits between the margins -1 and 1, as numbers from 0 to 1."""
        return Scores(((real_logits + 1) / 2).clamp(0, 1), ((fake_logits + 1) / 2).clamp(0, 1))


class LeastSquares(Loss):
    """The least-squares loss: D regresses to 1 for real images and 0 for fakes.

    Source: Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017, equations 2 and 9 (a 0, b and c 1).
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> DiscriminatorLoss:
        """Return the means of (l(x) - 1)^2 / 2 and l(G(z))^2 / 2 of logits (N,)."""
        return DiscriminatorLoss((real_logits - 1).square().mean() / 2, fake_logits.square().mean() / 2)

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Return the mean of (l(G(z)) - 1)^2 / 2; `real_logits` is unused."""
        del real_logits
        return (fake_logits - 1).square().mean() / 2

    def scores(self, real_logits: Tensor, fake_logits: Tensor) -> Scores:
        """Return the logits themselves, which estimate the labels 1 and 0, clamped to [0, 1]."""
        return Scores(real_logits.clamp(0, 1), fake_logits.clamp(0, 1))


class Wasserstein(Loss):
    """The Wasserstein loss: D is a critic whose slope a penalty holds near 1, so give `penalty.gradient`.

    Source: Arjovsky, Chintala, Bottou, "Wasserstein GAN", ICML 2017, equations 2 and 3; the penalty: Gulrajani et al.,
    "Improved Training of Wasserstein GANs", NeurIPS 2017, equation 3.
    """

    needs_penalty: ClassVar[bool] = True

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> DiscriminatorLoss:
        """Return the means of -l(x) and l(G(z)) of logits (N,)."""
        return DiscriminatorLoss(-real_logits.mean(), fake_logits.mean())

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Return the mean of -l(G(z)); `real_logits` is unused."""
        del real_logits
        return -fake_logits.mean()

    def scores(self, real_logits: Tensor, fake_logits: Tensor) -> None:  # noqa: ARG002
        """Return None: only differences of a critic's values count, on a scale that the slope sets."""
        return
