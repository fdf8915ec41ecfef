"""DCGAN at any power-of-two resolution.

Source: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016, section 3 and figure 1.
"""

import math
from functools import partial
from itertools import pairwise
from typing import Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, normalize
from torch.nn.utils import parametrize

WIDEST = 16  # times ngf or ndf: 1,024 at 64, the paper's widest layer; networks for larger images get deeper only
SLOPE = 0.2  # of D's LeakyReLU on the negative side

Layer = TypeVar("Layer", bound=nn.Module)
Norm = Literal["batch", "none", "spectral"]


class DCGAN(BaseModel):
    """The architecture of Radford et al. 2016: strided convolutions, batch norm, no pooling, no hidden dense layer.

    Batch norm can be left out of G, of D or of both, or replaced by spectral norm. A network without norm has biases
    and initial weights that keep the size of its activations; the paper's, which are small, need the norm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    z_dim: int = Field(100, ge=1, description="length of a latent vector")
    prior: Literal["normal", "uniform"] = Field("normal", description="latents from N(0, 1) or uniform on (-1, 1)")
    ngf: int = Field(64, ge=1, description="feature maps of G's last hidden layer; they double towards the head")
    ndf: int = Field(64, ge=1, description="feature maps of D's first layer; they double from there")
    head: Literal["conv", "linear"] = Field("conv", description="G's first, D's last layer: 4x4 convolution or linear")
    bias: bool = Field(False, description="whether G's last layer adds a bias, as it does in many imported generators")
    up: Literal["transposed", "balanced"] = Field(
        "transposed",
        description="G's upsampling: transposed convolutions, or the same with balanced kernels, which draw no "
        "checkerboard on flat areas",
    )
    widest: int = Field(WIDEST, ge=1, description="the widest layers, as a multiple of ngf and ndf")
    slope_G: float = Field(0.0, ge=0, lt=1, description="slope of G's activations below 0: 0 is ReLU, else LeakyReLU")
    norm_G: Norm = Field("batch", description="norm of G's layers")
    norm_D: Norm = Field("batch", description="norm of D's layers; penalties need `none` or `spectral`")

    def generator(self, resolution: int, channels: int) -> "Generator":
        """Build G: z (N, z_dim) -> images (N, channels, resolution, resolution) in [-1, 1], with initial weights."""
        return Generator(self, widths(self.ngf, resolution, self.widest), channels)

    def discriminator(self, resolution: int, channels: int) -> "Discriminator":
        """Build D: images (N, channels, resolution, resolution) -> logits (N,), with initial weights."""
        return Discriminator(self, widths(self.ndf, resolution, self.widest), channels)


class Generator(nn.Module):
    """Latents to images by transposed strided convolutions; norm and (leaky) ReLU after each but the last, then tanh.

    `widths` are the feature maps from the last hidden layer to the 4x4 head; a linear head has neither norm nor
    activation after it.
    """

    def __init__(self, settings: DCGAN, widths: list[int], channels: int) -> None:
        super().__init__()
        widest, z_dim, norm = widths[-1], settings.z_dim, settings.norm_G
        transposed = BalancedConvTranspose2d if settings.up == "balanced" else nn.ConvTranspose2d

        def activation() -> nn.Module:
            return nn.LeakyReLU(settings.slope_G, inplace=True) if settings.slope_G else nn.ReLU(inplace=True)

        self.head: nn.Module
        if settings.head == "conv":
            first = nn.ConvTranspose2d(z_dim, widest, 4, stride=1, padding=0, bias=norm != "batch")
            # (N, z_dim) to (N, widest, 4, 4)
            self.head = nn.Sequential(nn.Unflatten(1, (z_dim, 1, 1)), *_normed(first, norm), activation())
        else:
            self.head = nn.Sequential(nn.Linear(z_dim, widest * 4 * 4), nn.Unflatten(1, (widest, 4, 4)))
        self.stages = nn.Sequential()
        for wide, narrow in pairwise(reversed(widths)):
            up = transposed(wide, narrow, 4, stride=2, padding=1, bias=norm != "batch")  # twice the side
            self.stages.append(nn.Sequential(*_normed(up, norm), activation()))
        last = transposed(widths[0], channels, 4, stride=2, padding=1, bias=settings.bias or norm != "batch")
        self.to_image = nn.Sequential(last, nn.Tanh())
        self.apply(_initialise if norm != "none" else partial(_initialise_unnormed, slope=settings.slope_G))

    def forward(self, z: Tensor) -> Tensor:
        """Map latents z (N, z_dim) to images (N, C, H, W) in [-1, 1]."""
        images: Tensor = self.to_image(self.stages(self.head(z)))
        return images


class BalancedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of stride 2 with a 4x4 kernel, whose four interleaved 2x2 parts have equal sums.

    Each output pixel is computed by one of the four parts, by the parity of its row and column. Where the input is
    flat, so is the output: no checkerboard. The kernel's mean does not change. The parameter is not balanced itself.

    Source: Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016 (the artefact); the
    condition of equal sums: Sugawara, Shiota, Kiya, "Super-Resolution Using Convolutional Neural Networks without Any
    Checkerboard Artifacts", ICIP 2018, section 3.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (N, in, H, W) to (N, out, 2 H, 2 W)."""
        del output_size
        parts = self.weight.reshape(*self.weight.shape[:2], 2, 2, 2, 2)  # (in, out, 2, row parity, 2, column parity)
        sums = parts.sum(dim=(2, 4), keepdim=True)
        balanced = parts - (sums - sums.mean(dim=(3, 5), keepdim=True)) / 4
        return conv_transpose2d(input, balanced.reshape_as(self.weight), self.bias, stride=2, padding=1)


class Discriminator(nn.Module):
    """Images to one logit each by strided convolutions, LeakyReLU 0.2 after each but the last.

    Batch norm is on all but the first and the last, spectral norm on all. `widths` are the feature maps from the first
    layer to the 4x4 head. Without batch norm, second derivatives, which penalties need, are cheap.
    """

    def __init__(self, settings: DCGAN, widths: list[int], channels: int) -> None:
        from ..convolution import Conv2d, LeakyReLU  # sampling needs no D

        super().__init__()
        norm, bias = settings.norm_D, settings.norm_D != "batch"
        self.is_piecewise_linear = norm == "none"
        conv = Conv2d if bias else nn.Conv2d

        def activation() -> nn.Module:
            return LeakyReLU(SLOPE) if bias else nn.LeakyReLU(SLOPE, inplace=True)

        first = conv(channels, widths[0], 4, stride=2, padding=1, bias=bias)  # half the side
        unnormed = "none" if norm == "batch" else norm
        self.from_image = nn.Sequential(*_normed(first, unnormed), activation())
        self.stages = nn.Sequential()  # to (N, widest, 4, 4)
        for narrow, wide in pairwise(widths):
            down = conv(narrow, wide, 4, stride=2, padding=1, bias=bias)
            self.stages.append(nn.Sequential(*_normed(down, norm), activation()))
        widest = widths[-1]
        self.head = (
            nn.Sequential(*_normed(conv(widest, 1, 4, stride=1, padding=0, bias=bias), unnormed), nn.Flatten(0))
            if settings.head == "conv"
            else nn.Sequential(nn.Flatten(1), *_normed(nn.Linear(widest * 4 * 4, 1), unnormed), nn.Flatten(0))
        )
        self.apply(_initialise if norm != "none" else partial(_initialise_unnormed, slope=SLOPE))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [-1, 1] to logits (N,); their sigmoid is the probability of being real."""
        logits: Tensor = self.head(self.stages(self.from_image(images)))
        return logits


def widths(base: int, resolution: int, widest: int = WIDEST) -> list[int]:
    """Return the feature maps of the layers at resolution/2, ..., 8, 4: base, 2 base, ... up to `widest` times base."""
    num_layers = resolution.bit_length() - 3  # 64 = 2^6 is halved four times down to 4
    return [base * min(2**layer, widest) for layer in range(num_layers)]


class SpectralNorm(nn.Module):
    """W -> W / sigma(W), sigma by one power iteration at each use in training mode.

    torch's own parametrization multiplies in the type of autocast; in bf16 the power iteration would lose the digits
    that it converges by. This one iterates in float32.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, algorithm 1.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int) -> None:
        """Prepare for a weight whose dimension `outputs` counts the layer's outputs."""
        super().__init__()
        self.outputs = outputs
        rows = weight.shape[outputs]
        self.register_buffer("u", normalize(torch.randn(rows), dim=0))
        self.register_buffer("v", normalize(torch.randn(weight.numel() // rows), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight divided by its largest singular value, as a matrix of outputs x everything else."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.movedim(self.outputs, 0).flatten(1)
            if self.training:
                with torch.no_grad():
                    self.v.copy_(normalize(matrix.T @ self.u, dim=0))
                    self.u.copy_(normalize(matrix @ self.v, dim=0))
            # Copies, since the next use changes the buffers while this one's graph may still need them.
            return weight / (self.u.clone() @ (matrix @ self.v.clone()))


def spectral(layer: Layer) -> Layer:
    """Give a convolution or linear layer spectral norm, in place; return it."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    outputs = int(isinstance(layer, nn.ConvTranspose2d))
    parametrize.register_parametrization(layer, "weight", SpectralNorm(weight.detach(), outputs))
    return layer


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weight that a layer is trained by: of one with spectral norm, that before the division."""
    parameters = dict(layer.named_parameters())
    return parameters.get("parametrizations.weight.original", parameters.get("weight"))  # type: ignore[return-value]


def _normed(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, norm: Norm) -> list[nn.Module]:
    """Return a layer with its norm: batch norm after it, or spectral norm of its weight."""
    if norm == "batch":
        return [layer, nn.BatchNorm2d(layer.weight.shape[isinstance(layer, nn.ConvTranspose2d)])]
    return [spectral(layer) if norm == "spectral" else layer]


def _initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), batch norm's scale from N(1, 0.02); biases 0 (section 4; scale: the tutorial)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(weight_of(module), 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _initialise_unnormed(module: nn.Module, slope: float) -> None:
    """Draw weights from N(0, gain^2 / fan-in), the gain that of (leaky) ReLU; biases 0.

    The fan-in counts the values that a value of the output is a sum of: a transposed convolution of stride 2 reaches
    each output by a quarter of its kernel.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, equations 10 and 15.
    """
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return
    if isinstance(module, nn.ConvTranspose2d):
        taps = 1 if module.stride == (1, 1) else module.kernel_size[0] * module.kernel_size[1] // 4
        fan_in = module.in_channels * taps
    else:
        fan_in = module.weight[0].numel()
    nn.init.normal_(module.weight, 0.0, math.sqrt(2 / (1 + slope**2) / fan_in))
    assert module.bias is not None
    nn.init.zeros_(module.bias)
