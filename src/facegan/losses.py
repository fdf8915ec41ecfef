"""Adversarial losses: logits in, losses out.

The logit of an image is D's log-odds that it is real; D(x) = sigmoid(logit). Everything is written with softplus on
logits, -log sigmoid(l) = softplus(-l) and -log(1 - sigmoid(l)) = softplus(l), so that no logarithm of a rounded
probability is taken.
"""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import softplus


class DiscriminatorLoss(NamedTuple):
    """The two terms of D's loss, each a scalar; their sum is minimised."""

    real: Tensor
    fake: Tensor


class NonSaturating(BaseModel):
    """The non-saturating loss: G maximises log D(G(z)) instead of minimising log(1 - D(G(z))).

    Source: Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, equation 1 and the end of section 3;
    one-sided label smoothing: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, section 3.4.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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
