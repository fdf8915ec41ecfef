"""Convert a generator that another program trained to a snapshot of facegan."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint import save_snapshot
from ..config import RunConfig, resolve
from ..errors import ConfigError, SnapshotError
from ..messages import one_line
from ..networks.dcgan import SLOPE
from ..reporter import SILENT, Reporter
from .layouts import KNOWN, NORM, GeneratorLayout, Layer, UnknownLayoutError, recognise
from .pth_file import Parts, read_parts

MAX_LISTED = 6  # tensors or names in a message
PRIORS = {"conv": "normal", "linear": "uniform"}  # of PyTorch's tutorial; of notebooks with a linear layer
EPS = 1e-5  # of batch norm, torch's default and that of our networks


@dataclass(frozen=True)
class Assumptions:
    """Properties of a generator that its weights do not show; None: the usual one."""

    prior: str | None = None  # "normal" or "uniform"; usual: by how the layout begins
    activation: str | None = None  # "relu", "leaky_relu" or "leaky_relu:SLOPE"; usual: relu
    output_activation: str | None = None  # "tanh" or "sigmoid"; usual: tanh
    eps: float | None = None  # of batch norm; usual: 1e-5

    @property
    def slope(self) -> float:
        """The slope of the activation below 0; raises ConfigError for another activation."""
        name, colon, text = (self.activation or "relu").partition(":")
        try:
            slope = float(text) if colon else SLOPE
        except ValueError:
            slope = -1.0
        if name not in ("relu", "leaky_relu") or (colon and name == "relu") or not 0 <= slope < 1:
            raise ConfigError(
                f"--activation {self.activation}: must be relu, leaky_relu (its slope {SLOPE}) or leaky_relu:SLOPE"
            )
        return slope if name == "leaky_relu" else 0.0

    def check(self) -> None:
        """Raise ConfigError for a value that is not known."""
        if self.output_activation not in (None, "tanh", "sigmoid"):
            raise ConfigError(f"--output-activation {self.output_activation}: must be tanh or sigmoid")
        if self.eps is not None and not 0 < self.eps < 1:
            raise ConfigError(f"--eps {self.eps:g}: must be above 0 and below 1; torch's default is {EPS:g}")
        assert self.slope >= 0


DEFAULTS = Assumptions()


@dataclass(frozen=True)
class Imported:
    """An imported generator."""

    key: str  # the part of the file; "": the outermost
    layout: GeneratorLayout
    config: RunConfig
    network: nn.Module
    assumed: dict[str, str | float] = field(default_factory=dict)  # what was not given, as it was taken
    left_out: tuple[str, ...] = ()  # tensors next to the networks

    @property
    def num_parameters(self) -> int:
        """The number of its weights."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def import_generator(
    path: Path,
    out: Path,
    *,
    key: str | None = None,
    given: Assumptions = DEFAULTS,
    reporter: Reporter = SILENT,
) -> Imported:
    """Convert generator weights of a known layout to a snapshot that draws the same images.

    Weights do not determine activations, batch norm's epsilon and doubling by stride 2; what is not given is assumed.
    The snapshot's training settings are facegan's defaults, not those of the training.

    Args:
        path: A file of `torch.save`, or safetensors.
        out: The snapshot; missing folders are made.
        key: The part of the file to take, for instance "netG", its path or the unambiguous end of it; None: the only
            generator in it.
        given: Properties that the weights do not show.
        reporter: Receives a line for objects that are left out.

    Raises:
        ConfigError: A given property is not known.
        SnapshotError: The file is missing or damaged, or contains no generator of a known layout, or several.
        OSError: It cannot be read, or the snapshot cannot be written.
    """
    given.check()
    parts = read_parts(path, reporter)
    key, layout, left_out = _find_generator(path, parts, key)
    usual: dict[str, str | float] = {
        "prior": PRIORS[layout.head],
        "activation": "relu",
        "output_activation": "tanh",
        "eps": EPS,
    }
    assumed = {name: value for name, value in usual.items() if getattr(given, name) is None}
    config = _config(layout, given)
    try:
        imported = Imported(key, layout, config, _network(path, layout, config, given), assumed, left_out)
    except RuntimeError as error:
        raise SnapshotError(
            f"{path}: no generator of a known layout: its layers do not fit together ({one_line(error, 300)}); "
            f"known is {KNOWN}"
        ) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    save_snapshot(out, config, 0, {"G": imported.network})
    return imported


def _config(layout: GeneratorLayout, given: Assumptions) -> RunConfig:
    """Return the defaults with the architecture of a layout."""
    return resolve(
        flags={
            "resolution": layout.resolution,
            "channels": layout.channels,
            "data": {"source": "imported"},
            "architecture": {
                "name": "dcgan",
                "z_dim": layout.z_dim,
                "prior": given.prior or PRIORS[layout.head],
                "ngf": layout.ngf,
                "head": layout.head,
                "bias": layout.bias,
                "widest": layout.widest,
                "slope_G": given.slope,
            },
        }
    ).complete()


def _find_generator(path: Path, parts: Parts, key: str | None) -> tuple[str, GeneratorLayout, tuple[str, ...]]:
    """Return the only generator of a file, or of the part that `key` names, its key, and the tensors left out."""
    if key is not None:
        parts = _part(path, parts, key)
    found: dict[str, GeneratorLayout | None] = {}
    unknown: dict[str, UnknownLayoutError] = {}
    left_out: list[str] = []
    for name, tensors in parts.items():
        try:
            found |= _recognise_all(name, tensors, left_out)
        except UnknownLayoutError as error:
            unknown[name] = error
    generators = {name: layout for name, layout in found.items() if layout is not None}
    if len(generators) == 1:
        return *generators.popitem(), tuple(left_out)
    if generators:
        raise SnapshotError(f"{path}: contains several generators: {_listed(generators)}; take one with --key NAME")
    unknown = {name: why for name, why in unknown.items() if any(key.endswith("weight") for key in parts[name])}
    if found and not unknown:
        where = " and ".join(repr(name) for name in found if name)
        raise SnapshotError(
            f"{path}: contains a discriminator{f' ({where})' if where else ''}, which draws nothing; "
            "give the file of the generator"
        )
    offers = [offer for why in unknown.values() for offer in why.offers]
    if offers:
        raise SnapshotError(
            f"{path}: {_listed(offers)} would be a generator of a known layout, next to layers of none; take it alone "
            "with --key NAME, if the others are no part of it"
        )
    largest = max(unknown or parts, key=lambda name: len(parts[name]), default=None)
    if largest is None:
        raise SnapshotError(f"{path}: contains no dictionary of weights")
    shapes = {f"{name[:40]} {'x'.join(map(str, each.shape)) or 'scalar'}": 0 for name, each in parts[largest].items()}
    raise SnapshotError(
        f"{path}: no generator of a known layout{f' in {largest[:80]!r}' if largest else ''}: "
        f"{unknown.get(largest, 'it has no weights')}; found {_listed(shapes)}; known is {KNOWN}"
    )


def _part(path: Path, parts: Parts, key: str) -> Parts:
    """Return the part with a path, or the only one whose path ends in it."""
    named = {f"{name}.{each}".lstrip("."): value for name, part in parts.items() for each, value in part.items()}
    pieces = [name.split(".") for name in named]
    paths = dict.fromkeys(".".join(each[:end]) for each in pieces for end in range(1, len(each)))
    matches = [key] if key in paths else [each for each in paths if each.endswith(f".{key}")]
    if len(matches) > 1:
        raise SnapshotError(f"{path}: --key {key}: there are several: {_listed(matches)}; give more of the path")
    if not matches:
        names: dict[str, None] = {}
        for name, part in parts.items():
            firsts = dict.fromkeys(each.partition(".")[0] for each in part if each.count(".") > 1 or not name)
            deeper = len(firsts) > 1 or not name
            names |= dict.fromkeys(f"{name}.{each}".lstrip(".") for each in firsts) if deeper else {name: None}
        raise SnapshotError(f"{path}: --key {key}: there is no such part; there is: {_listed(names)}")
    (full,) = matches
    return {full: {name.removeprefix(f"{full}."): each for name, each in named.items() if name.startswith(f"{full}.")}}


def _recognise_all(name: str, tensors: Mapping[str, Tensor], left_out: list[str]) -> dict[str, GeneratorLayout | None]:
    """Return the largest networks in a dictionary by name; extends `left_out` by the loose tensors next to them.

    Raises:
        UnknownLayoutError: A layer in it belongs to no known network.
    """
    try:
        return {name: recognise(tensors)}
    except UnknownLayoutError as error:
        levels = zip(*(key.split(".") for key in tensors), strict=False)
        shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
        pieces: dict[str, dict[str, Tensor]] = {}
        loose: list[str] = []
        for key, tensor in tensors.items():
            path = key.split(".")
            if len(path) <= shared + 1:
                loose.append(key)
            else:
                pieces.setdefault(".".join(path[: shared + 1]), {})[".".join(path[shared + 1 :])] = tensor
        found: dict[str, GeneratorLayout | None] = {}
        offers: list[str] = []
        is_known = bool(pieces) and not any(key.rpartition(".")[2] in ("weight", "bias") for key in loose)
        for piece, inside in pieces.items():
            try:
                found |= _recognise_all(f"{name}.{piece}".lstrip("."), inside, left_out)
            except UnknownLayoutError as why:
                is_known = False
                offers += why.offers
        if not is_known:
            generators = [each for each, layout in found.items() if layout is not None]
            raise UnknownLayoutError(str(error), [*generators, *offers]) from None
        left_out += [f"{name}.{key}".lstrip(".") for key in loose]
        return found


def _network(path: Path, layout: GeneratorLayout, config: RunConfig, given: Assumptions) -> nn.Module:
    """Build our generator with the weights of a recognised one.

    A bias b before a batch norm is folded into its mean: (x + b) - mean = x - (mean - b); another epsilon into its
    weight. A sigmoid s(x), whose images are in [0, 1], is our tanh: 2 s(x) - 1 = tanh(x / 2).
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
        if given.eps is not None:
            variance = norm.tensors["running_var"].double()
            weights[f"{name}.weight"] = (
                norm.tensors["weight"].double() * ((variance + EPS) / (variance + given.eps)).sqrt()
            )
        weights[f"{name}.num_batches_tracked"] = torch.tensor(0)
    if given.output_activation == "sigmoid":
        weights |= {name: each / 2 for name, each in weights.items() if name.startswith(f"{layers[-1]}.")}
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
