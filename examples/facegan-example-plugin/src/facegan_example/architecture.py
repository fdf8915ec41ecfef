"""DCGAN's generator against a discriminator with spectral norm instead of batch norm."""

from pydantic import Field
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from facegan.networks.dcgan import DCGAN


class SpectralDCGAN(DCGAN):
    """DCGAN whose D divides each weight by its largest singular value, in place of batch norm.

    The settings are those of DCGAN and `num_power_iterations`. G is DCGAN's.

    Source: T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral Normalization for Generative Adversarial Networks",
    ICLR 2018, arXiv:1802.05957, section 2.1 and algorithm 1. Unlike in table 3, the convolutions are DCGAN's.
    """

    num_power_iterations: int = Field(
        1, ge=1, description="power iterations per step, towards the largest singular value"
    )

    def discriminator(self, resolution: int, channels: int) -> nn.Module:
        """Return a new D: images (N, channels, resolution, resolution) -> logits (N,)."""
        network = super().discriminator(resolution, channels)
        for module in list(network.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, nn.Identity())
                elif isinstance(child, nn.Conv2d | nn.Linear):
                    setattr(module, name, spectral_norm(child, n_power_iterations=self.num_power_iterations))
        return network
