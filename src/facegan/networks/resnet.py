"""Residual networks without normalisation, for a relativistic loss with gradient penalties, at any power of two.

Source: Huang, Gokaslan, Kuleshov, Tompkin, "The GAN is dead; long live the GAN! A Modern GAN Baseline", NeurIPS 2024,
section 3. Initial weights: Zhang, Dauphin, Ma, "Fixup Initialization", ICLR 2019.
"""

from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from ..convolution import Conv2d, LeakyReLU, Resample, without_autocast

SLOPE = 0.2  # of LeakyReLU below 0
HEAD = 4  # side of the smallest feature maps


class ResNet(BaseModel):
    """The architecture of Huang et al. 2024: grouped residual blocks, no norm, low-pass resampling, no tanh."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    z_dim: int = Field(64, ge=1, description="length of a latent vector")
    prior: Literal["normal", "uniform"] = Field("normal", description="latents from N(0, 1) or uniform on (-1, 1)")
    width: int = Field(64, ge=1, description="feature maps at full resolution; they double with each halving")
    width_max: int = Field(256, ge=1, description="feature maps at most")
    width_D: int = Field(0, ge=0, description="`width` of D, whose `width_max` scales with it; 0: as G")
    blocks: int = Field(1, ge=1, le=16, description="residual blocks at each resolution")
    group: int = Field(16, ge=0, description="channels in a group of a block's 3x3 convolution; 0: all in one")
    expansion: int = Field(2, ge=1, le=8, description="width of that convolution, times the block's")
    first: Literal[4, 8, 16] = Field(8, description="smallest side of feature maps that has blocks")

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        for width in (self.width, self.width_max, *self._of_D):
            if self.group and self.expansion * width % self.group:
                raise ValueError(
                    f"group={self.group} does not divide {self.expansion * width} channels, expansion times the width "
                    f"{width}; take a divisor, or group=0"
                )
        return self

    @property
    def _of_D(self) -> tuple[int, int]:
        """D's width and maximum width."""
        width = self.width_D or self.width
        return width, max(1, self.width_max * width // self.width)

    def generator(self, resolution: int, channels: int) -> "Generator":
        """Build G: z (N, z_dim) -> images (N, channels, resolution, resolution), which may exceed [-1, 1]."""
        return Generator(self, widths(self.width, self.width_max, resolution), channels)

    def discriminator(self, resolution: int, channels: int) -> "Discriminator":
        """Build D: images (N, channels, resolution, resolution) -> logits (N,), with initial weights."""
        return Discriminator(self, widths(*self._of_D, resolution), channels)


class Basis(nn.Linear):
    """A linear layer without bias whose outputs weigh learned feature maps: z (N, z_dim) to (N, width, 4, 4)."""

    def __init__(self, z_dim: int, width: int) -> None:
        super().__init__(z_dim, width, bias=False)
        self.basis = nn.Parameter(torch.empty(width, HEAD, HEAD))

    def forward(self, z: Tensor) -> Tensor:
        """Map z to (N, width, 4, 4)."""
        return super().forward(z)[:, :, None, None] * self.basis


class Block(nn.Module):
    """x + W3 phi(W2 phi(W1 x + b1) + b2): 1x1 to the inner width, 3x3 in groups, 1x1 back without bias."""

    def __init__(self, width: int, expansion: int, group: int) -> None:
        super().__init__()
        inner = expansion * width
        self.residual = nn.Sequential(
            Conv2d(width, inner, 1),
            LeakyReLU(SLOPE),
            Conv2d(inner, inner, 3, padding=1, groups=inner // group if group else 1),
            LeakyReLU(SLOPE),
            Conv2d(inner, width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        y: Tensor = x + self.residual(x)
        return y


class Generator(nn.Module):
    """Latents to images: a weighted basis of 4x4 maps; then at each side a 1x1 convolution, doubling and blocks.

    `widths` are the feature maps from side 4 to the full resolution. The 4x4 maps are computed in float32 under
    autocast too, and so are the images.
    """

    def __init__(self, settings: ResNet, widths: list[int], channels: int) -> None:
        super().__init__()
        self.head = nn.Sequential(Basis(settings.z_dim, widths[0]), *_blocks(settings, widths[0], HEAD))
        self.stages = nn.Sequential()
        for level, (before, width) in enumerate(pairwise(widths), start=1):
            change = [] if before == width else [Conv2d(before, width, 1, bias=False)]
            blocks = _blocks(settings, width, HEAD * 2**level)
            self.stages.append(nn.Sequential(*change, Resample(width, up=True), *blocks))
        self.to_image = Conv2d(widths[-1], channels, 1, bias=False)
        _initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents z (N, z_dim) to images (N, C, H, W); faces are in [-1, 1], but no value is forced into it."""
        with without_autocast(z.device.type):
            x = self.head(z)
        images: Tensor = self.to_image(self.stages(x))
        return images.to(z.dtype)


class Discriminator(nn.Module):
    """Images to one logit each, the mirror of G: blocks, halving and a 1x1 convolution at each side; then 4x4 filters.

    `widths` are the feature maps from side 4 to the full resolution. From the 4x4 maps on, all is float32 under
    autocast too.
    """

    is_piecewise_linear = True

    def __init__(self, settings: ResNet, widths: list[int], channels: int) -> None:
        super().__init__()
        self.from_image = Conv2d(channels, widths[-1], 1, bias=False)
        self.stages = nn.Sequential()
        for level, (after, width) in reversed(list(enumerate(pairwise(widths), start=1))):
            change = [] if after == width else [Conv2d(width, after, 1, bias=False)]
            blocks = _blocks(settings, width, HEAD * 2**level)
            self.stages.append(nn.Sequential(*blocks, Resample(width, up=False), *change))
        self.head = nn.Sequential(
            *_blocks(settings, widths[0], HEAD),
            Conv2d(widths[0], widths[0], HEAD, groups=widths[0], bias=False),
            nn.Flatten(1),
            nn.Linear(widths[0], 1, bias=False),
            nn.Flatten(0),
        )
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N,)."""
        x: Tensor = self.stages(self.from_image(images))
        with without_autocast(x.device.type):
            logits: Tensor = self.head(x.to(self.from_image.weight.dtype))
        return logits


def widths(width: int, widest: int, resolution: int) -> list[int]:
    """Return the feature maps at sides 4, 8, ..., resolution: `width` at the last, doubling towards the first."""
    num_levels = (resolution // HEAD).bit_length()
    return [min(widest, width * 2**level) for level in reversed(range(num_levels))]


def _blocks(settings: ResNet, width: int, side: int) -> list[Block]:
    """Return the blocks of one side."""
    num = settings.blocks if side >= settings.first else 0
    return [Block(width, settings.expansion, settings.group) for _ in range(num)]


def _initialise(network: nn.Module) -> None:
    """Draw weights from N(0, gain^2 / fan-in), biases 0, basis N(0, 1); every block begins as the identity.

    The gain is 1, and sqrt(2 / (1 + SLOPE^2)) L^(-1/4) for the first two layers of each of the L blocks: a step then
    changes the output by as much whatever L is (Zhang et al. 2019, section 3).
    """
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    gains: dict[nn.Module, float] = {}
    for block in blocks:
        first, _, second, _, last = block.residual
        gains[first] = gains[second] = (2 / (1 + SLOPE**2)) ** 0.5 * len(blocks) ** -0.25
        gains[last] = 0.0
    for module in network.modules():
        if isinstance(module, Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0.0, gains.get(module, 1.0) / fan_in**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, Basis):
            nn.init.normal_(module.basis)
