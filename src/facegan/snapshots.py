"""Snapshots (networks, to use) and states (everything, to resume): safetensors files that carry their configuration."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from . import __version__, plugins
from .config import RunConfig, validate
from .errors import ConfigError, PluginError, SnapshotError
from .generators import FaceGenerator
from .run import write_atomic

SCHEMA = 1


def save_snapshot(path: Path, config: RunConfig, step: int, networks: Mapping[str, nn.Module]) -> None:
    """Write networks, by name (`G`, `G_ema`, `D`), with the configuration that rebuilds them.

    Raises:
        OSError: The file cannot be written; nothing is left of it.
    """
    tensors = {
        f"{name}.{key}": value for name, network in networks.items() for key, value in network.state_dict().items()
    }
    kimg = str(step * config.train.batch_size / 1000)
    source = Path(config.data.source).name  # a snapshot is for sending: it does not tell of its maker's folders
    config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    write_tensors(path, "snapshot", tensors, {"config": config.to_json(), "step": str(step), "kimg": kimg})


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
    network = _generator_network(path, config)
    load_network(path, network, "G_ema." if averaged else "G.")
    architecture = config.part("architecture")
    info = {
        "digest": digest(path),
        "step": int(metadata["step"]),
        "weights": "G_ema" if averaged else "G",
        "config": config,
        "path": path,
    }
    return FaceGenerator(network.to(device), z_dim=architecture.z_dim, prior=architecture.prior, info=info)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_tensors(path: Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file of ours, whole or not at all.

    Args:
        path: The final name.
        kind: "snapshot" or "state".
        tensors: By name, on any device.
        metadata: Strings.
    """
    heading = {"format": f"facegan-{kind}", "schema": str(SCHEMA), "facegan": __version__, "synthetic": "faces"}
    whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_atomic(path, lambda temporary: save_file(whole, temporary, {**heading, **metadata}))


def read_header(path: Path, kind: str) -> tuple[dict[str, str], set[str]]:
    """The metadata and the tensors' names of a file of ours.

    Raises:
        SnapshotError: The file is missing, damaged, not of that kind, or newer than this version of facegan.
    """
    if not path.is_file():
        raise SnapshotError(f"{path}: no such {kind} file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata, keys = file.metadata() or {}, set(file.keys())
    except (SafetensorError, OSError, ValueError) as error:
        raise SnapshotError(f"{path}: not a whole safetensors file ({_one_line(error)})") from None
    if metadata.get("format") != f"facegan-{kind}":
        raise SnapshotError(f"{path}: not a {kind} of facegan (it says it is {metadata.get('format', 'nothing')!r})")
    try:
        schema, _ = int(metadata["schema"]), int(metadata["step"])
    except (KeyError, ValueError):
        raise SnapshotError(f"{path}: carries no readable schema or step") from None
    if schema > SCHEMA:
        writer = metadata.get("facegan", "?")
        raise SnapshotError(
            f"{path}: written by facegan {writer}, which is newer than this one ({__version__}); upgrade"
        )
    return metadata, keys


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names; the header must have been read."""
    with safe_open(path, framework="pt") as file:
        return {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118


def load_network(path: Path, network: nn.Module, prefix: str) -> None:
    """Fill a network from a file of ours.

    Raises:
        SnapshotError: The tensors do not fit the network.
    """
    try:
        network.load_state_dict(read_tensors(path, prefix))
    except (RuntimeError, SafetensorError) as error:
        raise SnapshotError(f"{path}: its weights do not fit its configuration ({_one_line(error)[:200]})") from None


def read_config(path: Path, metadata: Mapping[str, str]) -> RunConfig:
    """The configuration that a file of ours carries; raises SnapshotError when it cannot be read any more."""
    try:
        return validate(json.loads(metadata["config"]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SnapshotError(f"{path}: carries no readable configuration ({_one_line(error)})") from None
    except ConfigError as error:
        raise SnapshotError(f"{path}: carries a configuration that this version refuses ({error})") from None


def _generator_network(path: Path, config: RunConfig) -> nn.Module:
    name = config.architecture.name
    if name not in plugins.names("architecture"):
        raise PluginError(f"{path}: its architecture is '{name}'; install the package that brings it")
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn and at once replaced
            network: nn.Module = config.part("architecture").generator(config.resolution, config.channels)
        return network
    except ConfigError as error:
        raise SnapshotError(f"{path}: carries settings that this version of '{name}' refuses ({error})") from None
    except (RuntimeError, MemoryError) as error:
        raise SnapshotError(f"{path}: its network cannot be built here ({_one_line(error)[:200]})") from None


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())
