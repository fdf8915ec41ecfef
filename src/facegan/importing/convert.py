"""Convert a generator that another program trained to a snapshot of facegan."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint import save_snapshot
from ..config import RunConfig, resolve
from ..errors import SnapshotError
from ..messages import one_line
from .layouts import KNOWN, NORM, GeneratorLayout, Layer, UnknownLayoutError, recognise
from .pth_file import Parts, read_parts

MAX_LISTED = 6  # tensors or names in a message
PRIORS = {"conv": "normal", "linear": "uniform"}  # of PyTorch's tutorial; of notebooks with a linear layer


@dataclass(frozen=True)
class Imported:
    """An imported generator."""

    key: str  # the part of the file; "": the outermost
    layout: GeneratorLayout
    config: RunConfig
    network: nn.Module

    @property
    def num_parameters(self) -> int:
        """The number of its weights."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def import_generator(path: Path, out: Path, *, key: str | None = None, prior: str | None = None) -> Imported:
    """Convert generator weights of a known layout to a snapshot that draws the same images.

    Weights do not determine ReLU and tanh, batch norm's epsilon of 1e-5 and doubling by stride 2; they are assumed, as
    all known layouts have them. The snapshot's training settings are facegan's defaults, not those of the training.

    Args:
        path: A file of `torch.save`, or safetensors.
        out: The snapshot; missing folders are made.
        key: The part of the file to take, for instance "netG"; None: the only generator in it.
        prior: "normal" or "uniform"; None: the usual one for the layout.

    Raises:
        SnapshotError: The file is missing or damaged, or contains no generator of a known layout, or several.
        OSError: It cannot be read, or the snapshot cannot be written.
    """
    parts = read_parts(path)
    key, layout = _find_generator(path, parts, key)
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
    try:
        imported = Imported(key, layout, config, _network(path, layout, config))
    except RuntimeError as error:
        raise SnapshotError(
            f"{path}: no generator of a known layout: its layers do not fit together ({one_line(error, 300)}); "
            f"known is {KNOWN}"
        ) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    save_snapshot(out, config, 0, {"G": imported.network})
    return imported


def _find_generator(path: Path, parts: Parts, key: str | None) -> tuple[str, GeneratorLayout]:
    """Return the only generator of a file, or of the part that `key` names, and its key."""
    if key is not None:
        named = {f"{name}.{each}".lstrip("."): value for name, part in parts.items() for each, value in part.items()}
        part = {name.removeprefix(f"{key}."): each for name, each in named.items() if name.startswith(f"{key}.")}
        if not part:
            names = dict.fromkeys(name or each.partition(".")[0] for name, part in parts.items() for each in part)
            raise SnapshotError(f"{path}: --key {key}: there is no such part; there is: {_listed(names)}")
        parts = {key: part}
    found: dict[str, GeneratorLayout | None] = {}
    unknown: dict[str, str] = {}
    for name, tensors in parts.items():
        try:
            found |= _recognise_all(name, tensors)
        except UnknownLayoutError as error:
            unknown[name] = str(error)
    generators = {name: layout for name, layout in found.items() if layout is not None}
    if len(generators) == 1:
        return generators.popitem()
    if generators:
        raise SnapshotError(f"{path}: contains several generators: {_listed(generators)}; take one with --key NAME")
    unknown = {name: why for name, why in unknown.items() if any(key.endswith("weight") for key in parts[name])}
    if found and not unknown:
        where = " and ".join(repr(name) for name in found if name)
        raise SnapshotError(
            f"{path}: contains a discriminator{f' ({where})' if where else ''}, which draws nothing; "
            "give the file of the generator"
        )
    largest = max(unknown or parts, key=lambda name: len(parts[name]), default=None)
    if largest is None:
        raise SnapshotError(f"{path}: contains no dictionary of weights")
    shapes = {f"{name[:40]} {'x'.join(map(str, each.shape)) or 'scalar'}": 0 for name, each in parts[largest].items()}
    raise SnapshotError(
        f"{path}: no generator of a known layout{f' in {largest[:80]!r}' if largest else ''}: "
        f"{unknown.get(largest, 'it has no weights')}; found {_listed(shapes)}; known is {KNOWN}"
    )


def _recognise_all(name: str, tensors: Mapping[str, Tensor]) -> dict[str, GeneratorLayout | None]:
    """Return the network of a dictionary, or the several networks in it, each under its own first name.

    Raises:
        UnknownLayoutError: It is no known network, and does not consist of known ones.
    """
    try:
        return {name: recognise(tensors)}
    except UnknownLayoutError:
        levels = zip(*(key.split(".") for key in tensors), strict=False)
        shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
        pieces: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            pieces.setdefault(".".join(key.split(".")[: shared + 1]), {})[key] = tensor
        with suppress(UnknownLayoutError):
            return {f"{name}.{piece}".lstrip("."): recognise(inside) for piece, inside in pieces.items()}
        raise


def _network(path: Path, layout: GeneratorLayout, config: RunConfig) -> nn.Module:
    """Build our generator with the weights of a recognised one.

    A bias b before a batch norm is folded into its mean: (x + b) - mean = x - (mean - b).
    """
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn and replaced at once
        network: nn.Module = config.part("architecture").generator(layout.resolution, layout.channels)
    modules = list(network.named_modules())
    layers = [name for name, module in modules if isinstance(module, nn.Linear | nn.ConvTranspose2d)]
    norms = [name for name, module in modules if isinstance(module, nn.BatchNorm2d)]
    weights = {f"{name}.weight": layer.tensors["weight"] for name, layer in zip(layers, layout.layers, strict=True)}
    if layout.head == "linear":
        weights[f"{layers[0]}.bias"] = _bias(layout.layers[0]).expand(layout.layers[0].shape[0])
    if layout.bias:
        weights[f"{layers[-1]}.bias"] = _bias(layout.layers[-1])
    for name, norm, before in zip(norms, layout.norms, layout.normed, strict=True):
        weights |= {f"{name}.{leaf}": norm.tensors[leaf] for leaf in NORM}
        weights[f"{name}.running_mean"] = norm.tensors["running_mean"].double() - _bias(before)
        weights[f"{name}.num_batches_tracked"] = torch.tensor(0)
    network.load_state_dict(weights)  # also converts them to float32
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all() or (name.endswith("running_var") and (tensor < 0).any()):
            raise SnapshotError(f"{path}: its weights are broken (a number that is not finite, or a variance below 0)")
    return network


def _bias(layer: Layer) -> Tensor:
    """Return the bias of a layer, float64; 0 without one."""
    return layer.tensors.get("bias", torch.zeros(())).double()


def _listed(names: Iterable[str]) -> str:
    some = list(names)
    return ", ".join(repr(name[:80]) for name in some[:MAX_LISTED]) + (" ..." if len(some) > MAX_LISTED else "")
