"""Recognise the network that a dictionary of weights belongs to, from the structure of its keys and its shapes alone.

Names do not matter, as long as the tensors of one layer share everything before the last dot: the 4x4 transposed
convolutions of `main.0`, `main.3`, ..., of `deconv1.0`, `deconv2.0`, ... and of `tconv1`, `tconv2`, ... are one layout.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from ..messages import counted
from ..networks.dcgan import WIDEST, widths

KNOWN = (
    "a DCGAN of 4x4 transposed convolutions, each but the last with batch norm, that begins with one of them (main.0, "
    "main.1, main.3, ...) or with a linear layer (fc, deconv1.0, deconv1.1, ...), 16x16 to 512x512 pixels, widths that "
    "halve from layer to layer, but for equally wide first ones"
)
NORM = {"weight", "bias", "running_mean", "running_var"}


class UnknownLayoutError(Exception):
    """Weights of no known layout; the message says how they differ, `offers` which parts of them are generators."""

    def __init__(self, message: str, offers: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.offers = list(offers)


@dataclass(frozen=True)
class Layer:
    """One layer with weights: its name, and its tensors by the last part of their names."""

    name: str
    tensors: Mapping[str, Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its weight; () without one."""
        return tuple(self.tensors["weight"].shape) if "weight" in self.tensors else ()

    @property
    def kind(self) -> str | None:
        """Return "convolution", "norm" or "linear"; None for any other, and for tensors that hold no plain numbers."""
        names = set(self.tensors) - {"num_batches_tracked"}
        if not all(_is_plain(self.tensors[name]) for name in names):
            return None
        if len(self.shape) == 1 and names == NORM and len({self.tensors[name].shape for name in NORM}) == 1:
            return "norm"
        bias = self.tensors.get("bias")
        if names - {"weight", "bias"} or (bias is not None and tuple(bias.shape) not in {(n,) for n in self.shape[:2]}):
            return None
        return {4: "convolution", 2: "linear"}.get(len(self.shape))


@dataclass(frozen=True)
class GeneratorLayout:
    """A DCGAN generator: its sizes, and its layers in the order in which they act."""

    head: Literal["conv", "linear"]
    z_dim: int
    ngf: int
    widest: int  # times ngf
    channels: int
    resolution: int
    layers: list[Layer]  # the linear layer, if there is one, and the convolutions
    norms: list[Layer]  # one for each convolution but the last

    @property
    def bias(self) -> bool:
        """Whether the last layer adds one."""
        return "bias" in self.layers[-1].tensors

    @property
    def normed(self) -> list[Layer]:
        """The layers that a batch norm follows."""
        return self.layers[1:-1] if self.head == "linear" else self.layers[:-1]


def recognise(tensors: Mapping[str, Tensor]) -> GeneratorLayout | None:
    """Return the layout of a generator's weights; None for a discriminator's.

    Args:
        tensors: By name, in the order of the layers; batch norms may lie apart from the convolutions.

    Raises:
        UnknownLayoutError: They belong to no known network.
    """
    linear, convolutions, norms = _layers(tensors)
    if not convolutions:
        raise UnknownLayoutError("it has no convolutions")
    last = linear[0] if len(linear) == 1 else convolutions[-1]
    is_narrowing = all(one.shape[0] == other.shape[1] for one, other in pairwise(convolutions))
    if is_narrowing and len(convolutions) > 1 and last.shape[0] == 1:
        return None
    for each in convolutions:
        if each.shape[2:] != (4, 4):
            raise UnknownLayoutError(f"{each.name!r} is a {each.shape[2]}x{each.shape[3]} convolution")
    if len(linear) > 1 or len(norms) != len(convolutions) - 1:
        given = {"linear layer": linear, "convolution": convolutions, "batch norm": norms}
        raise UnknownLayoutError(f"it has {', '.join(counted(len(each), noun) for noun, each in given.items())}")
    for one, other in [*pairwise(convolutions), *zip(convolutions, norms, strict=False)]:
        if one.shape[1] != other.shape[0]:
            raise UnknownLayoutError(
                f"{one.name!r} gives {one.shape[1]} feature maps, {other.name!r} takes {other.shape[0]}"
            )
    upscaling = convolutions[0 if linear else 1 :]
    found = [each.shape[0] for each in reversed(upscaling)]
    resolution, channels = 4 * 2 ** len(upscaling), convolutions[-1].shape[1]
    if channels not in (1, 3) or not 16 <= resolution <= 512:
        raise UnknownLayoutError(f"its images would be {resolution}x{resolution} with {channels} channels")
    widest = WIDEST if found == widths(found[0], resolution) else found[-1] // found[0]
    if found != widths(found[0], resolution, widest):
        raise UnknownLayoutError(f"its layers are {', '.join(map(str, reversed(found)))} feature maps wide")
    if linear and linear[0].shape[0] != found[-1] * 16:
        raise UnknownLayoutError(f"{linear[0].name!r} does not give 4x4 feature maps of {found[-1]} channels")
    z_dim = linear[0].shape[1] if linear else convolutions[0].shape[0]
    head: Literal["conv", "linear"] = "linear" if linear else "conv"
    return GeneratorLayout(head, z_dim, found[0], widest, channels, resolution, linear + convolutions, norms)


def _layers(tensors: Mapping[str, Tensor]) -> Iterable[list[Layer]]:
    """Return the linear layers, convolutions and batch norms of a dictionary of weights."""
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, leaf = key.rpartition(".")
        grouped.setdefault(name, {})[leaf] = tensor
    kinds: dict[str, list[Layer]] = {"linear": [], "convolution": [], "norm": []}
    for name, leaves in grouped.items():
        layer = Layer(name, leaves)
        if layer.kind is None:
            raise UnknownLayoutError(
                f"{name!r} is none of convolution, batch norm and linear layer of floating-point numbers"
            )
        kinds[layer.kind].append(layer)
    return kinds.values()


def _is_plain(tensor: Tensor) -> bool:
    """Return whether all numbers exist: a tensor can claim any shape over one number, or over none."""
    return (
        tensor.is_floating_point()
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and 0 < tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )
