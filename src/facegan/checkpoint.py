"""Snapshots (networks, to use) and states (everything, to resume): safetensors files that carry their configuration."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from . import plugins
from .config import RunConfig, validate
from .errors import ConfigError, PluginError, SnapshotError
from .generator import FaceGenerator
from .plugins import quoted
from .storage.safetensors_file import digest, one_line, read_header, read_tensors, write_tensors

_SPARE_BYTES = 2**26  # that a network may need beside the tensors that its file holds


def save_snapshot(path: Path, config: RunConfig, step: int, networks: Mapping[str, nn.Module]) -> None:
    """Write networks, by name (`G`, `G_ema`, `D`), with the configuration that rebuilds them.

    Raises:
        OSError: The file cannot be written; nothing is left of it.
    """
    tensors = {
        f"{name}.{key}": value for name, network in networks.items() for key, value in network.state_dict().items()
    }
    write_tensors(path, "snapshot", tensors, snapshot_metadata(config, step))


def snapshot_metadata(config: RunConfig, step: int) -> dict[str, str]:
    """What a snapshot says of itself."""
    kimg = str(step * config.train.batch_size / 1000)
    source = Path(config.data.source).name  # a snapshot is for sending: it does not tell of its maker's folders
    config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    return {"config": config.to_json(), "step": str(step), "kimg": kimg}


def load_generator(path: str | Path, *, raw: bool = False, device: str | torch.device = "cpu") -> FaceGenerator:
    """Rebuild a generator from its snapshot file alone.

    Args:
        path: A snapshot .safetensors file.
        raw: Take the current weights instead of their moving average.
        device: Where it runs.

    Raises:
        SnapshotError: The file is missing, damaged, not a snapshot, or newer than this version of facegan.
        PluginError: Its architecture belongs to a package that is not installed or does not load.
    """
    path = Path(path)
    metadata, keys = read_header(path, "snapshot")
    config = read_config(path, metadata)
    averaged = not raw and any(key.startswith("G_ema.") for key in keys)
    network = _build(path, config, "generator")
    load_network(path, network, "G_ema." if averaged else "G.")
    architecture = config.part("architecture")
    info = {
        "digest": digest(path),
        "step": int(metadata["step"]),
        "weights": "G_ema" if averaged else "G",
        "raw": raw,
        "config": config,
        "path": path,
    }
    return FaceGenerator(network.to(device), z_dim=architecture.z_dim, prior=architecture.prior, info=info)


def load_discriminator(path: str | Path, *, device: str | torch.device = "cpu") -> nn.Module:
    """Rebuild D from a snapshot file alone, in eval mode, its parameters without gradients.

    Args:
        path: A snapshot .safetensors file.
        device: Where it runs.

    Raises:
        SnapshotError: As `load_generator`, or the snapshot holds no D, as imported ones do not.
        PluginError: As `load_generator`.
    """
    path = Path(path)
    metadata, keys = read_header(path, "snapshot")
    if not any(key.startswith("D.") for key in keys):
        raise SnapshotError(f"{path}: holds no discriminator, only a generator; take a snapshot of a run of facegan")
    config = read_config(path, metadata)
    network = _build(path, config, "discriminator")
    load_network(path, network, "D.")
    return network.to(device).eval().requires_grad_(False)


def load_network(path: Path, network: nn.Module, prefix: str) -> None:
    """Fill a network from a file of ours.

    Raises:
        SnapshotError: The tensors do not fit the network.
    """
    try:
        tensors = read_tensors(path, prefix)
        if any(value.is_complex() for value in tensors.values()):
            raise RuntimeError("complex numbers")
        finite = all(bool(value.isfinite().all()) for value in tensors.values())
        network.load_state_dict(tensors)
    except (RuntimeError, SafetensorError) as error:
        raise SnapshotError(f"{path}: its weights do not fit its configuration ({one_line(error)[:200]})") from None
    if not finite:
        raise SnapshotError(f"{path}: holds weights that are not finite; take a snapshot from before it")


def read_config(path: Path, metadata: Mapping[str, str]) -> RunConfig:
    """The configuration that a file of ours carries; raises SnapshotError when it cannot be read any more."""
    try:
        return validate(json.loads(metadata["config"]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SnapshotError(f"{path}: carries no readable configuration ({one_line(error)[:200]})") from None
    except ConfigError as error:
        raise SnapshotError(f"{path}: carries a configuration that this version refuses ({error})") from None


def _build(path: Path, config: RunConfig, part: Literal["generator", "discriminator"]) -> nn.Module:
    name = config.architecture.name
    if name not in plugins.names("architecture"):
        raise PluginError(f"{path}: its architecture is {quoted(name)}; install the package that brings it")
    try:
        with torch.random.fork_rng(devices=[]), _Budget(2 * path.stat().st_size + _SPARE_BYTES):
            # weights that are drawn here are at once replaced
            network: nn.Module = getattr(config.part("architecture"), part)(config.resolution, config.channels)
        return network
    except ConfigError as error:
        raise SnapshotError(f"{path}: carries settings that this version of '{name}' refuses ({error})") from None
    except (RuntimeError, MemoryError, TypeError, OverflowError) as error:
        raise SnapshotError(f"{path}: its network cannot be built here ({one_line(error)[:200]})") from None


class _Budget(TorchFunctionMode):
    """Lets tensors be made up to a number of bytes: a file of a few kilobytes cannot have a network of gigabytes built.

    What is made without being filled, as layers make their weights, costs nothing until it is refused.
    """

    def __init__(self, size_bytes: int) -> None:
        self._left = size_bytes
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.normal_ and isinstance(args[0], nn.Parameter):  # the file's weights take its place
            return args[0]
        if func in (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn):
            sizes = args[0] if args and isinstance(args[0], tuple | list) else args
            self._left -= abs(math.prod(sizes)) * 4  # before it is made
            if self._left < 0:
                raise MemoryError("its configuration asks for far more weights than the file holds")
        return func(*args, **(kwargs or {}))
