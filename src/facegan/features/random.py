"""A small network whose weights were drawn once and never trained: vectors that need no download.

Convolutions with random weights keep enough of images to compare sets of them, where no trained network fits: Naeem,
Oh, Uh, Choi, Yoo, "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020, section 3.4, judge
generators by a VGG-16 of random weights. This one is smaller, and differs in two things, without which differences of
mean brightness and contrast outweigh all others: each filter sums to zero, and an image's last map is divided by its
root mean square, whose logarithm is one more feature.
"""

import hashlib
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from ..images import to_float
from .extractor import Extractor, digest_of_weights

MAX_WIDTH = 256  # channels of the last layer
NUM_FEATURES = MAX_WIDTH + 1
SCALE_WEIGHT = 3.0  # of the logarithm: contrast lowered by 15 % then counts as much as noise of 8 levels in 255
_KERNEL = 4
_EPSILON = 0.01  # added to the root mean square, which is 0 for an image of one colour

# Drawn from bytes that are the same everywhere, and scaled in integers: a generator of random numbers, a logarithm or a
# sum in another order may differ on another machine, and the digest with it.
_SOURCE = b"facegan random features 1"


class RandomNetwork(nn.Module):
    """Strided convolutions, each halving the side down to about 4, without bias; ReLU after each; then the mean.

    The resolution sets the number of layers, so that the last one sees the complete face; the widths double from layer
    to layer up to MAX_WIDTH, so that the work grows with the side alone.
    """

    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        num_layers = max(1, round(math.log2(resolution / 4)))
        widths = [max(4, MAX_WIDTH >> layer) for layer in reversed(range(num_layers))]
        shapes = zip(widths, [channels, *widths], strict=False)
        drawn = [_filters(number, width, before) for number, (width, before) in enumerate(shapes)]
        self.weights = nn.ParameterList(nn.Parameter(each, requires_grad=False) for each in drawn)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [-1, 1] to vectors (N, NUM_FEATURES)."""
        for weight in self.weights:
            images = relu(conv2d(images, weight, stride=2, padding=1))
        # Once is enough: without biases, a factor of the image passes through all layers unchanged.
        scale = images.square().mean((1, 2, 3), keepdim=True).sqrt() + _EPSILON
        return torch.cat([(images / scale).mean((2, 3)), SCALE_WEIGHT * scale.log().flatten(1)], 1)


def random_extractor(channels: int, resolution: int, *, device: str = "cpu") -> Extractor:
    """Build the extractor of random features: the same weights on every machine and with every version of torch."""
    network = RandomNetwork(channels, resolution).eval().to(device)

    def see(images: Tensor) -> tuple[Tensor, None]:
        return network(to_float(images)), None

    return Extractor(
        key="random",
        title="random network",
        digest=digest_of_weights(network),
        resize="none",
        comparable="facegan alone, at one resolution and number of channels: each has a network of its own",
        num_features=NUM_FEATURES,
        see=see,
        device=device,
    )


def _filters(number: int, width: int, before: int) -> Tensor:
    """The filters of a layer, float32 (width, before, 4, 4): uniform, of sum zero, of variance about 2 / inputs."""
    num = before * _KERNEL**2
    stream = hashlib.shake_256(_SOURCE + b" %d %d %d" % (number, width, before)).digest(2 * width * num)
    drawn = np.frombuffer(stream, "<u2").astype(np.int64).reshape(width, num)
    centred = num * drawn - drawn.sum(1, keepdims=True)  # exact: times num, the distance from the filter's mean
    spread = 2**16 / math.sqrt(12)  # standard deviation of the drawn integers
    weights = centred * (math.sqrt(2 / num) / (num * spread))
    return torch.from_numpy(weights.astype(np.float32)).reshape(width, before, _KERNEL, _KERNEL)
