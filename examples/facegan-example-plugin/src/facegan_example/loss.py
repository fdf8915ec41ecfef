"""The hinge loss."""

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import relu

from facegan.losses import DiscriminatorLoss


class Hinge(BaseModel):
    """The hinge loss: an image no longer counts in D's loss once its logit is beyond the margin on the right side.

    Source: J. H. Lim, J. C. Ye, "Geometric GAN", 2017, arXiv:1705.02894, section 3 (there the margin is 1).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = Field(1.0, gt=0, description="logit beyond which an image no longer counts in D's loss")

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> DiscriminatorLoss:
        """Return the means of max(0, m - D(x)) and max(0, m + D(G(z))) over logits (N,)."""
        return DiscriminatorLoss(relu(self.margin - real_logits).mean(), relu(self.margin + fake_logits).mean())

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """Return the mean of -D(G(z)) over logits (N,); `real_logits` is not used."""
        del real_logits
        return -fake_logits.mean()
