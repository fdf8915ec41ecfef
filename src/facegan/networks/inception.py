"""Inception v3 as it was published in 2015, the network whose vectors papers compare.

FID, KID and the Inception Score are defined on this network and on its published weights, not on the architecture of
the paper: it was trained with a last layer of 1,008 outputs, its average pools leave the padding out of the mean, and
the last block has a max pool where the paper has an average. Other Inception v3 networks give other numbers.

Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR
2016, section 6; Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale Update Rule
Converge to a Local Nash Equilibrium", NIPS 2017.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

SIDE = 299  # pixels: height and width to which every image is resized
NUM_FEATURES = 2048
NUM_CLASSES = 1008

Size = int | tuple[int, int]  # of a kernel: height and width
Layer = tuple[str, str, int, Size]  # name, name of the layer before, channels, kernel

INPUT = ""  # the block's input, before its first layers
POOL = "pool"  # the block's input, pooled


class Inception(nn.Module):
    """The network; its state dict has the names and shapes of the published file.

    It is for inference, not for training: load the weights, then take `folded()`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, padded=False)
        self.Mixed_5b = _Block(192, _block_a(32))
        self.Mixed_5c = _Block(256, _block_a(64))
        self.Mixed_5d = _Block(288, _block_a(64))
        self.Mixed_6a = _Block(288, _BLOCK_B, reduces=True)
        self.Mixed_6b = _Block(768, _block_c(128))
        self.Mixed_6c = _Block(768, _block_c(160))
        self.Mixed_6d = _Block(768, _block_c(160))
        self.Mixed_6e = _Block(768, _block_c(192))
        self.Mixed_7a = _Block(768, _BLOCK_D, reduces=True)
        self.Mixed_7b = _Block(1280, _BLOCK_E)
        self.Mixed_7c = _Block(2048, _BLOCK_E, average=False)
        self.fc = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors and logits of images of any one size, uint8 (N, 3, H, W), or grey (N, 1, H, W).

        The last block's means over all places (N, 2048), and the logits without the last layer's bias (N, 1008), as the
        Inception Score has always used them; both float32.
        """
        x = (resize(images.to(self.fc.weight.dtype)) - 128) / 128
        x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)  # (N, 3, 299, 299)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = functional.max_pool2d(x, 3, stride=2)  # (N, 64, 73, 73)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = functional.max_pool2d(x, 3, stride=2)  # (N, 192, 35, 35)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6a(x)  # (N, 768, 17, 17)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7a(x)  # (N, 1280, 8, 8)
        x = self.Mixed_7c(self.Mixed_7b(x))
        features = x.mean((2, 3))
        return features, features @ self.fc.weight.T

    def folded(self) -> "Inception":
        """Fold each batch norm into the convolution before it, in place, and return this network for inference."""
        self.eval().requires_grad_(False)
        for module in list(self.modules()):
            if isinstance(module, _Conv):
                module.fold()
        return self.to(memory_format=torch.channels_last)


def resize(images: Tensor) -> Tensor:
    """Resize float (N, C, H, W) to 299 by 299 as TensorFlow 1 did: bilinear between two pixels, without antialiasing.

    Output pixel i lies at i * size / 299 (its corner, not its centre), so that images move by a part of a pixel; past
    the last pixel that one is repeated. Scores depend on this; the published ones were computed with it.
    """
    for axis in (3, 2):  # one after the other equals both at once
        size = images.shape[axis]
        at = torch.arange(SIDE, dtype=torch.float32, device=images.device) * (size / SIDE)
        low = at.long()
        share = (at - low).view(-1, *[1] * (3 - axis))
        first = images.index_select(axis, low)
        images = first + (images.index_select(axis, (low + 1).clamp_max(size - 1)) - first) * share
    return images


class _Conv(nn.Module):
    """Convolution without a bias, batch norm, ReLU; padded: the size is unchanged."""

    def __init__(self, before: int, after: int, size: Size, *, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        padding = (height // 2, width // 2) if padded else 0
        self.conv = nn.Conv2d(before, after, (height, width), stride=stride, padding=padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)

    def fold(self) -> None:
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


class _Block(nn.Module):
    """Branches from one input, concatenated along the channels: a tree of layers whose leaves are the output.

    Each layer comes after the one that it follows. With `reduces`, the leaves and the pool halve the size, and the pool
    is an output. Else the pool is an average, without the padding, or a maximum.
    """

    def __init__(self, before: int, layers: Sequence[Layer], *, reduces: bool = False, average: bool = True) -> None:
        super().__init__()
        self._layers, self._reduces, self._average = layers, reduces, average
        followed = {follows for _, follows, _, _ in layers}
        self._leaves = [name for name, *_ in layers if name not in followed] + [POOL] * reduces
        channels = {INPUT: before, POOL: before}
        for name, follows, width, size in layers:
            last = reduces and name in self._leaves
            self.add_module(name, _Conv(channels[follows], width, size, stride=1 + last, padded=not last))
            channels[name] = width

    def forward(self, x: Tensor) -> Tensor:
        made = {INPUT: x, POOL: self._pool(x)}
        for name, follows, _, _ in self._layers:
            made[name] = self.get_submodule(name)(made[follows])
        return torch.cat([made[name] for name in self._leaves], 1)

    def _pool(self, x: Tensor) -> Tensor:
        if self._reduces:
            return functional.max_pool2d(x, 3, stride=2)
        if self._average:
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return functional.max_pool2d(x, 3, stride=1, padding=1)


def _block_a(pooled: int) -> tuple[Layer, ...]:
    return (
        ("branch1x1", INPUT, 64, 1),
        ("branch5x5_1", INPUT, 48, 1),
        ("branch5x5_2", "branch5x5_1", 64, 5),
        ("branch3x3dbl_1", INPUT, 64, 1),
        ("branch3x3dbl_2", "branch3x3dbl_1", 96, 3),
        ("branch3x3dbl_3", "branch3x3dbl_2", 96, 3),
        ("branch_pool", POOL, pooled, 1),
    )


_BLOCK_B: tuple[Layer, ...] = (
    ("branch3x3", INPUT, 384, 3),
    ("branch3x3dbl_1", INPUT, 64, 1),
    ("branch3x3dbl_2", "branch3x3dbl_1", 96, 3),
    ("branch3x3dbl_3", "branch3x3dbl_2", 96, 3),
)


def _block_c(width: int) -> tuple[Layer, ...]:
    return (
        ("branch1x1", INPUT, 192, 1),
        ("branch7x7_1", INPUT, width, 1),
        ("branch7x7_2", "branch7x7_1", width, (1, 7)),
        ("branch7x7_3", "branch7x7_2", 192, (7, 1)),
        ("branch7x7dbl_1", INPUT, width, 1),
        ("branch7x7dbl_2", "branch7x7dbl_1", width, (7, 1)),
        ("branch7x7dbl_3", "branch7x7dbl_2", width, (1, 7)),
        ("branch7x7dbl_4", "branch7x7dbl_3", width, (7, 1)),
        ("branch7x7dbl_5", "branch7x7dbl_4", 192, (1, 7)),
        ("branch_pool", POOL, 192, 1),
    )


_BLOCK_D: tuple[Layer, ...] = (
    ("branch3x3_1", INPUT, 192, 1),
    ("branch3x3_2", "branch3x3_1", 320, 3),
    ("branch7x7x3_1", INPUT, 192, 1),
    ("branch7x7x3_2", "branch7x7x3_1", 192, (1, 7)),
    ("branch7x7x3_3", "branch7x7x3_2", 192, (7, 1)),
    ("branch7x7x3_4", "branch7x7x3_3", 192, 3),
)

_BLOCK_E: tuple[Layer, ...] = (
    ("branch1x1", INPUT, 320, 1),
    ("branch3x3_1", INPUT, 384, 1),
    ("branch3x3_2a", "branch3x3_1", 384, (1, 3)),
    ("branch3x3_2b", "branch3x3_1", 384, (3, 1)),
    ("branch3x3dbl_1", INPUT, 448, 1),
    ("branch3x3dbl_2", "branch3x3dbl_1", 384, 3),
    ("branch3x3dbl_3a", "branch3x3dbl_2", 384, (1, 3)),
    ("branch3x3dbl_3b", "branch3x3dbl_2", 384, (3, 1)),
    ("branch_pool", POOL, 192, 1),
)
