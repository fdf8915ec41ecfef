"""A generator that another program trained, made into a snapshot of facegan."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint import save_snapshot
from ..config import RunConfig, resolve
from ..errors import SnapshotError
from .layouts import KNOWN, NORM, DiscriminatorLayout, GeneratorLayout, Module, StrangerError, recognise
from .pth_file import Parts, read_parts

LISTED = 6  # tensors of a layout that is not known
PRIORS = {"conv": "normal", "linear": "uniform"}  # the tutorial's; that of the notebooks with a linear layer


@dataclass(frozen=True)
class Imported:
    """What was made of a file: which part of it (`""`: the whole), its layout, the configuration and the network."""

    key: str
    layout: GeneratorLayout
    config: RunConfig
    network: nn.Module

    @property
    def num_parameters(self) -> int:
        """Of the generator."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def import_generator(path: Path, out: Path, *, key: str | None = None, prior: str | None = None) -> Imported:
    """Turn generator weights of a known layout into a snapshot that draws the same images.

    A file of weights does not tell everything: ReLU and tanh, batch norm's epsilon of 1e-5 and doubling by stride 2 are
    taken for granted, as all known layouts have them. The snapshot's settings of training are facegan's defaults, and
    say nothing of how the generator was trained.

    Args:
        path: A file of `torch.save`, or safetensors.
        out: The snapshot; missing folders are made.
        key: The part of the file to take, for instance "netG"; None is the one generator in it.
        prior: "normal" or "uniform"; None is what is usual for the layout.

    Raises:
        SnapshotError: The file is missing, damaged, or holds no generator of a known layout, or several.
        OSError: It cannot be read, or the snapshot not written.
    """
    parts = read_parts(path)
    key, layout = _generator(path, parts) if key is None else (key, _part(path, parts, key))
    config = resolve(
        flags={
            "resolution": layout.resolution,
            "channels": layout.channels,
            "data": {"source": "imported"},
            "architecture": {
                "name": "dcgan",
                "z_dim": layout.z_dim,
                "prior": prior or PRIORS[layout.head],
                "ngf": layout.ngf,
                "head": layout.head,
                "bias": layout.bias,
            },
        }
    ).complete()
    imported = Imported(key, layout, config, _network(path, layout, config))
    out.parent.mkdir(parents=True, exist_ok=True)
    save_snapshot(out, config, 0, {"G": imported.network})
    return imported


def _generator(path: Path, parts: Parts) -> tuple[str, GeneratorLayout]:
    """The one generator of a file, and where it stands."""
    found: dict[str, GeneratorLayout | DiscriminatorLayout] = {}
    strangers: dict[str, str] = {}
    for name, tensors in parts.items():
        try:
            found |= _networks(name, tensors)
        except StrangerError as error:
            strangers[name] = str(error)
    generators = {name: layout for name, layout in found.items() if isinstance(layout, GeneratorLayout)}
    if len(generators) == 1:
        return generators.popitem()
    if generators:
        raise SnapshotError(f"{path}: holds several generators: {_listed(generators)}; take one with --key NAME")
    strangers = {name: why for name, why in strangers.items() if any(key.endswith("weight") for key in parts[name])}
    if found and not strangers:
        where = next(iter(found))
        raise SnapshotError(
            f"{path}: holds a discriminator{f' ({where!r})' if where else ''}, which draws nothing; "
            "give the file of the generator"
        )
    largest = max(strangers or parts, key=lambda name: len(parts[name]), default=None)
    if largest is None:
        raise SnapshotError(f"{path}: holds no dictionary of weights")
    raise _stranger(path, largest, parts[largest], strangers.get(largest, "it has no weights"))


def _part(path: Path, parts: Parts, key: str) -> GeneratorLayout:
    """The generator in the part of a file that `key` names."""
    everything = {f"{name}.{each}".lstrip("."): tensor for name, part in parts.items() for each, tensor in part.items()}
    tensors = {name.removeprefix(f"{key}."): each for name, each in everything.items() if name.startswith(f"{key}.")}
    if not tensors:
        names = dict.fromkeys(name or each.partition(".")[0] for name, part in parts.items() for each in part)
        raise SnapshotError(f"{path}: --key {key}: there is no such part; there is: {_listed(names)}")
    try:
        layout = recognise(tensors)
    except StrangerError as error:
        raise _stranger(path, key, tensors, str(error)) from None
    if isinstance(layout, DiscriminatorLayout):
        raise SnapshotError(f"{path}: --key {key}: is a discriminator, which draws nothing; take the generator")
    return layout


def _networks(name: str, tensors: Mapping[str, Tensor]) -> dict[str, GeneratorLayout | DiscriminatorLayout]:
    """The network of a dictionary, or the several that stand in it side by side under first names of their own.

    Raises:
        StrangerError: It is no known network, and does not fall into nothing but known ones.
    """
    try:
        return {name: recognise(tensors)}
    except StrangerError:
        levels = zip(*(key.split(".") for key in tensors), strict=False)
        shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
        pieces: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            pieces.setdefault(".".join(key.split(".")[: shared + 1]), {})[key] = tensor
        try:
            return {f"{name}.{piece}".lstrip("."): recognise(inside) for piece, inside in pieces.items()}
        except StrangerError:
            pass
        raise


def _network(path: Path, layout: GeneratorLayout, config: RunConfig) -> nn.Module:
    """Our own generator with the weights of a found one.

    A bias b before a batch norm moves the mean that it subtracts: (x + b) - mean = x - (mean - b).
    """
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn and at once replaced
        network: nn.Module = config.part("architecture").generator(layout.resolution, layout.channels)
    modules = list(network.named_modules())
    layers = [name for name, module in modules if isinstance(module, nn.Linear | nn.ConvTranspose2d)]
    norms = [name for name, module in modules if isinstance(module, nn.BatchNorm2d)]
    weights = {f"{name}.weight": layer.tensors["weight"] for name, layer in zip(layers, layout.layers, strict=True)}
    if layout.head == "linear":
        weights[f"{layers[0]}.bias"] = _bias(layout.layers[0])
    if layout.bias:
        weights[f"{layers[-1]}.bias"] = _bias(layout.layers[-1])
    for name, norm, before in zip(norms, layout.norms, layout.normed, strict=True):
        weights |= {f"{name}.{leaf}": norm.tensors[leaf] for leaf in NORM}
        weights[f"{name}.running_mean"] = norm.tensors["running_mean"].double() - _bias(before)
        weights[f"{name}.num_batches_tracked"] = torch.tensor(0)
    weights = {
        name: tensor.detach().float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()
    }
    for name, tensor in weights.items():
        if not tensor.isfinite().all() or (name.endswith("running_var") and (tensor < 0).any()):
            raise SnapshotError(f"{path}: its weights are broken (a number that is not finite, or a variance below 0)")
    network.load_state_dict(weights)
    return network


def _bias(layer: Module) -> Tensor:
    """What a layer adds to its output, float64; zeros, when it adds nothing."""
    given = layer.tensors.get("bias")
    return torch.zeros(layer.width, dtype=torch.float64) if given is None else given.double()


def _stranger(path: Path, where: str, tensors: Mapping[str, Tensor], why: str) -> SnapshotError:
    """The refusal of a layout that is not known: what was found, and what is known."""
    some = [f"{key[:40]!r} {'x'.join(map(str, each.shape)) or 'scalar'}" for key, each in tensors.items()][:LISTED]
    more = f" and {len(tensors) - LISTED:,} more" if len(tensors) > LISTED else ""
    part = f" in {where[:80]!r}" if where else ""
    return SnapshotError(
        f"{path}: no generator of a known layout{part}: {why}; found {', '.join(some)}{more}; known is {KNOWN}"
    )


def _listed(names: Iterable[str]) -> str:
    some = list(names)
    return ", ".join(repr(name[:80]) for name in some[:LISTED]) + (" ..." if len(some) > LISTED else "")
