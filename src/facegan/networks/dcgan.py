"""DCGAN at any power-of-two resolution.

Source: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016, section 3 and figure 1.
"""

from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

WIDEST = 16  # times ngf or ndf: 1,024 at 64, the paper's widest layer; networks for larger images get deeper only


class DCGAN(BaseModel):
    """The architecture of Radford et al. 2016: strided convolutions, batch norm, no pooling, no hidden dense layer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    z_dim: int = Field(100, ge=1, description="length of a latent vector")
    prior: Literal["normal", "uniform"] = Field("normal", description="latents from N(0, 1) or uniform on (-1, 1)")
    ngf: int = Field(64, ge=1, description="feature maps of G's last hidden layer; they double towards the head")
    ndf: int = Field(64, ge=1, description="feature maps of D's first layer; they double from there")
    head: Literal["conv", "linear"] = Field("conv", description="G's first, D's last layer: 4x4 convolution or linear")
    bias: bool = Field(False, description="whether G's last layer adds a bias, as it does in many imported generators")

    def generator(self, resolution: int, channels: int) -> "Generator":
        """Build G: z (N, z_dim) -> images (N, channels, resolution, resolution) in [-1, 1], with initial weights."""
        return Generator(self.z_dim, widths(self.ngf, resolution), channels, self.head, self.bias)

    def discriminator(self, resolution: int, channels: int) -> "Discriminator":
        """Build D: images (N, channels, resolution, resolution) -> logits (N,), with initial weights."""
        return Discriminator(widths(self.ndf, resolution), channels, self.head)


class Generator(nn.Module):
    """Latents to images by transposed strided convolutions; batch norm and ReLU after each but the last, then tanh.

    `widths` are the feature maps from the last hidden layer to the 4x4 head; a linear head has neither norm nor
    activation after it.
    """

    def __init__(self, z_dim: int, widths: list[int], channels: int, head: str, bias: bool) -> None:
        super().__init__()
        widest = widths[-1]
        self.head: nn.Module
        if head == "conv":
            self.head = nn.Sequential(
                nn.Unflatten(1, (z_dim, 1, 1)),
                nn.ConvTranspose2d(z_dim, widest, 4, stride=1, padding=0, bias=False),  # (N, widest, 4, 4)
                nn.BatchNorm2d(widest),
                nn.ReLU(inplace=True),
            )
        else:
            self.head = nn.Sequential(nn.Linear(z_dim, widest * 4 * 4), nn.Unflatten(1, (widest, 4, 4)))
        self.stages = nn.Sequential()
        for wide, narrow in pairwise(reversed(widths)):
            up = nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False)  # twice the side
            self.stages.append(nn.Sequential(up, nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)))
        last = nn.ConvTranspose2d(widths[0], channels, 4, stride=2, padding=1, bias=bias)
        self.to_image = nn.Sequential(last, nn.Tanh())
        self.apply(_initialise)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents z (N, z_dim) to images (N, C, H, W) in [-1, 1]."""
        images: Tensor = self.to_image(self.stages(self.head(z)))
        return images


class Discriminator(nn.Module):
    """Images to one logit each by strided convolutions; batch norm on all but the first, LeakyReLU 0.2 after each.

    `widths` are the feature maps from the first layer to the 4x4 head.
    """

    def __init__(self, widths: list[int], channels: int, head: str) -> None:
        super().__init__()
        first = nn.Conv2d(channels, widths[0], 4, stride=2, padding=1, bias=False)  # half the side
        self.from_image = nn.Sequential(first, nn.LeakyReLU(0.2, inplace=True))
        self.stages = nn.Sequential()  # to (N, widest, 4, 4)
        for narrow, wide in pairwise(widths):
            down = nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False)
            self.stages.append(nn.Sequential(down, nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, inplace=True)))
        widest = widths[-1]
        self.head = (
            nn.Sequential(nn.Conv2d(widest, 1, 4, stride=1, padding=0, bias=False), nn.Flatten(0))
            if head == "conv"
            else nn.Sequential(nn.Flatten(1), nn.Linear(widest * 4 * 4, 1), nn.Flatten(0))
        )
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [-1, 1] to logits (N,); their sigmoid is the probability of being real."""
        logits: Tensor = self.head(self.stages(self.from_image(images)))
        return logits


def widths(base: int, resolution: int) -> list[int]:
    """Return the feature maps of the layers at resolution/2, ..., 8, 4: base, 2 base, ... up to WIDEST times base."""
    num_layers = resolution.bit_length() - 3  # 64 = 2^6 is halved four times down to 4
    return [base * min(2**layer, WIDEST) for layer in range(num_layers)]


def _initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), batch norm's scale from N(1, 0.02); biases 0 (section 4; scale: the tutorial)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
