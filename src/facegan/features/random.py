"""A small network whose weights were drawn once and never trained: vectors that need no download."""

import hashlib

import torch
from torch import Tensor, nn

from .extractor import Extractor

WIDTHS = (32, 64, 128, 256)


def random_extractor(channels: int, *, device: str = "cpu") -> Extractor:
    """The extractor of random features, the same on every machine.

    Args:
        channels: Of the pictures.
        device: Where it runs.
    """
    dice = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    before = channels
    for width in WIDTHS:
        layer = nn.Conv2d(before, width, 4, stride=2, padding=1)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=dice) * (2 / layer.weight[0].numel()) ** 0.5)
            layer.bias.zero_()  # type: ignore[union-attr]
        layers += [layer, nn.ReLU()]
        before = width
    network = nn.Sequential(*layers).eval().requires_grad_(False).to(device)
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())

    def see(pictures: Tensor) -> tuple[Tensor, None]:
        return network(pictures.float() / 127.5 - 1).mean((2, 3)), None

    return Extractor(
        key="random",
        title="random network",
        digest=digest.hexdigest(),
        resize="none",
        comparable="facegan alone, at one resolution",
        num_features=WIDTHS[-1],
        see=see,
        device=device,
    )
