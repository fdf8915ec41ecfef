"""Which network a dictionary of weights belongs to, told from its keys' structure and the shapes alone.

Names do not matter, as long as what stands in one module has one name before its last dot: the 4x4 transposed
convolutions of `main.0`, `main.3`, ..., of `deconv1.0`, `deconv2.0`, ... and of `tconv1`, `tconv2`, ... are one layout.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Tensor

from ..networks.dcgan import widths

KNOWN = (
    "a DCGAN of 4x4 transposed convolutions, each but the last with batch norm, that begins with one of them (main.0, "
    "main.1, main.3, ...) or with a linear layer (fc, deconv1.0, deconv1.1, ...), 16x16 to 256x256 pixels, widths that "
    "halve from layer to layer"
)
NORM = {"weight", "bias", "running_mean", "running_var"}


@dataclass(frozen=True)
class Module:
    """One layer with weights: its name, its tensors by the last part of their names."""

    name: str
    tensors: Mapping[str, Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its weight; (), when it has none."""
        return tuple(self.tensors["weight"].shape) if "weight" in self.tensors else ()

    @property
    def width(self) -> int:
        """How many numbers, or feature maps, it gives in a generator."""
        return self.shape[1] if self.kind == "convolution" else self.shape[0]

    @property
    def kind(self) -> Literal["convolution", "linear", "norm", "unknown"]:
        """What its tensors say it is."""
        names = set(self.tensors)
        if names - {"num_batches_tracked"} == NORM and len({self.tensors[name].shape for name in NORM}) == 1:
            return "norm" if len(self.shape) == 1 else "unknown"
        if "weight" in names and names <= {"weight", "bias"}:
            return {4: "convolution", 2: "linear"}.get(len(self.shape), "unknown")  # type: ignore[return-value]
        return "unknown"


class StrangerError(Exception):
    """Weights of no known layout; the message says in which way they are not."""


@dataclass(frozen=True)
class GeneratorLayout:
    """A DCGAN generator found in a dictionary: its sizes, and its layers in the order in which they act."""

    head: Literal["conv", "linear"]
    z_dim: int
    ngf: int
    channels: int
    resolution: int
    layers: list[Module]  # the linear layer, if there is one, and the convolutions
    norms: list[Module]  # one for each convolution but the last

    @property
    def bias(self) -> bool:
        """Whether the last layer adds one."""
        return "bias" in self.layers[-1].tensors

    @property
    def normed(self) -> list[Module]:
        """The layers that a batch norm follows."""
        return self.layers[1:-1] if self.head == "linear" else self.layers[:-1]

    @classmethod
    def of(cls, linear: list[Module], convolutions: list[Module], norms: list[Module]) -> Self:
        """Read the sizes off the shapes; raises StrangerError when they are not a DCGAN's."""
        for each in convolutions:
            if each.shape[2:] != (4, 4):
                raise StrangerError(f"{each.name!r} is a {each.shape[2]}x{each.shape[3]} convolution")
        if len(linear) > 1:
            raise StrangerError(f"it has {len(linear)} linear layers")
        if len(norms) != len(convolutions) - 1:
            raise StrangerError(
                f"it has {len(norms)} batch norms; to {len(convolutions)} convolutions belong {len(convolutions) - 1}"
            )
        for each in linear + convolutions:
            if "bias" in each.tensors and each.tensors["bias"].shape != (each.width,):
                raise StrangerError(f"the bias of {each.name!r} does not have its width, {each.width}")
        upscaling = convolutions[0 if linear else 1 :]
        for one, other in pairwise(convolutions):
            if one.shape[1] != other.shape[0]:
                raise _mismatch(one, other)
        for each, norm in zip(convolutions, norms, strict=False):
            if norm.shape != each.shape[1:2]:
                raise _mismatch(each, norm)
        found = [each.shape[0] for each in reversed(upscaling)]
        resolution, channels = 4 * 2 ** len(upscaling), convolutions[-1].shape[1]
        if channels not in (1, 3) or not 16 <= resolution <= 256:
            raise StrangerError(f"its images would be {resolution}x{resolution} with {channels} channels")
        if found != widths(found[0], resolution):
            raise StrangerError(f"its layers are {', '.join(map(str, reversed(found)))} feature maps wide")
        z_dim = convolutions[0].shape[0]
        if linear:
            numbers, z_dim = linear[0].shape
            if numbers != found[-1] * 16:
                raise StrangerError(f"{linear[0].name!r} gives {numbers} numbers for {found[-1]} feature maps of 4x4")
        head: Literal["conv", "linear"] = "linear" if linear else "conv"
        return cls(head, z_dim, found[0], channels, resolution, linear + convolutions, norms)


def _mismatch(one: Module, other: Module) -> StrangerError:
    return StrangerError(f"{one.name!r} gives {one.shape[1]} feature maps, {other.name!r} takes {other.shape[0]}")


@dataclass(frozen=True)
class DiscriminatorLayout:
    """Convolutions that lead from images to one number: known so that it can be named."""


def recognise(tensors: Mapping[str, Tensor]) -> GeneratorLayout | DiscriminatorLayout:
    """Tell the network that a dictionary of weights belongs to.

    Args:
        tensors: By their names, in the order of the layers; batch norms may stand apart from the convolutions.

    Raises:
        StrangerError: It is no known one.
    """
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, leaf = key.rpartition(".")
        grouped.setdefault(name, {})[leaf] = tensor
    modules = [Module(name, leaves) for name, leaves in grouped.items()]
    for module in modules:
        _refuse_strange(module)
    linear, convolutions, norms = (
        [module for module in modules if module.kind == kind] for kind in ("linear", "convolution", "norm")
    )
    if not convolutions:
        raise StrangerError("it has no convolutions")
    last = linear[0] if len(linear) == 1 else convolutions[-1]
    narrowing = all(one.shape[0] == other.shape[1] for one, other in pairwise(convolutions))
    if narrowing and len(convolutions) > 1 and last.shape[0] == 1:
        return DiscriminatorLayout()
    return GeneratorLayout.of(linear, convolutions, norms)


def _refuse_strange(module: Module) -> None:
    if module.kind == "unknown":
        raise StrangerError(f"{module.name!r} is none of convolution, batch norm and linear layer")
    for leaf, tensor in module.tensors.items():
        if leaf != "num_batches_tracked" and not _is_plain(tensor):
            raise StrangerError(f"{leaf!r} of {module.name!r} is no plain tensor of floating-point numbers")


def _is_plain(tensor: Tensor) -> bool:
    """Floating-point numbers that are really there: a tensor can claim any shape over one number, or over none."""
    return (
        tensor.is_floating_point()
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and 0 < tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )
