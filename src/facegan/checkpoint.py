"""Snapshots: safetensors files of networks that carry the configuration to rebuild them."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from . import plugins
from .config import RunConfig, validate
from .errors import ConfigError, DamagedError, PluginError, SnapshotError
from .generator import FaceGenerator, Origin
from .messages import local_path, one_line, printable, quoted, shell_path
from .reporter import SILENT, Reporter
from .storage.run_dir import find_run
from .storage.safetensors_file import TensorFile, open_tensors, read_tensors, write_tensors

_SPARE_BYTES = 2**26  # that a network may need in addition to the tensors in its file


def save_snapshot(path: Path, config: RunConfig, step: int, networks: Mapping[str, nn.Module]) -> None:
    """Write networks, by name (`G`, `G_ema`, `D`), with the configuration that rebuilds them."""
    tensors = {
        f"{name}.{key}": value for name, network in networks.items() for key, value in network.state_dict().items()
    }
    write_tensors(path, "snapshot", tensors, snapshot_metadata(config, step))


def snapshot_metadata(config: RunConfig, step: int) -> dict[str, str]:
    """Return the metadata of a snapshot of this step."""
    kimg = str(step * config.train.images_per_step / 1000)
    source = Path(config.data.source).name  # snapshots are shared: they do not reveal local folders
    config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    return {"config": config.to_json(), "step": str(step), "kimg": kimg}


class Checkpoint:
    """A snapshot file: read, verified and hashed once, then asked for its networks."""

    def __init__(self, file: TensorFile) -> None:
        """Read the configuration in a verified file; raises SnapshotError when it cannot be read any more."""
        self.path = file.path
        self.config = read_config(file.path, file.metadata)
        self.digest = file.digest  # SHA-256 of the file
        self.step = int(file.metadata["step"])  # updates of G at which it was saved
        self._networks = {key.partition(".")[0] for key in file.keys}
        self.has_discriminator = "D" in self._networks  # imported snapshots have none

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read the header of a snapshot and verify all its bytes.

        Raises:
            SnapshotError: The file is missing, not a snapshot, or newer than this version of facegan.
            DamagedError: Its bytes are not those that were written.
        """
        return cls(open_tensors(Path(path), "snapshot"))

    @property
    def run_folder(self) -> Path | None:
        """The folder of the run that contains the file; None for a snapshot that was moved elsewhere."""
        folder = self.path.absolute().parent
        return folder.parent if folder.name == "snapshots" and (folder.parent / "config.json").is_file() else None

    @property
    def label(self) -> str:
        """The name of its run, or of the file outside any run."""
        return printable(self.run_folder.name if self.run_folder else self.path.stem)

    def generator(self, *, raw: bool = False, device: str | torch.device = "cpu") -> FaceGenerator:
        """Rebuild G.

        Args:
            raw: Take the current weights instead of their moving average.
            device: Where it runs.

        Raises:
            SnapshotError: The weights do not fit the configuration, or are not finite.
            PluginError: The architecture belongs to a package that is not installed or does not load.
        """
        weights = "G_ema" if "G_ema" in self._networks and not raw else "G"
        network = self._rebuild("generator", weights).to(device)
        architecture = self.config.part("architecture")
        origin = Origin(self.path, self.digest, self.step, weights, raw, self.config)
        return FaceGenerator(network, z_dim=architecture.z_dim, prior=architecture.prior, origin=origin)

    def discriminator(self, *, device: str | torch.device = "cpu") -> nn.Module:
        """Rebuild D in eval mode, its parameters without gradients; raises as `generator`, or when there is no D."""
        if not self.has_discriminator:
            raise SnapshotError(
                f"{self.path}: holds no discriminator, only a generator; take a snapshot of a run of facegan"
            )
        return self._rebuild("discriminator", "D").to(device).eval().requires_grad_(False)

    def _rebuild(self, part: Literal["generator", "discriminator"], weights: str) -> nn.Module:
        path, config, name = self.path, self.config, self.config.architecture.name
        if name not in plugins.names("architecture"):
            raise PluginError(f"{path}: its architecture is {quoted(name)}; install the package that brings it")
        try:
            # Weights that are drawn here are replaced at once.
            with torch.random.fork_rng(devices=[]), _Budget(2 * path.stat().st_size + _SPARE_BYTES):
                network: nn.Module = getattr(config.part("architecture"), part)(config.resolution, config.channels)
        except ConfigError as error:
            raise SnapshotError(f"{path}: carries settings that this version of '{name}' refuses ({error})") from None
        except (RuntimeError, MemoryError, TypeError, OverflowError) as error:
            raise SnapshotError(f"{path}: its network cannot be built here ({one_line(error, 200)})") from None
        load_network(path, network, f"{weights}.")
        return network


def find_checkpoint(model: str | Path | None, *, reporter: Reporter = SILENT) -> Checkpoint:
    """Open the snapshot that MODEL names: a file itself, or the newest valid snapshot of a run.

    Args:
        model: A snapshot file, a run's folder, or its name under runs/; None is the latest run.
        reporter: Receives a warning for each newer snapshot of the run that is damaged.

    Raises:
        SnapshotError: There is no such file or run, or the run holds no snapshot yet.
        DamagedError: The file, or every snapshot of the run, is damaged.
    """
    if model is not None and (path := Path(local_path(model))).is_file():
        return Checkpoint.open(path)
    run = find_run(model)
    steps = run.steps("snapshots")
    if not steps:
        raise SnapshotError(
            f"{run.path}: holds no snapshot yet; train it further with 'facegan resume {shell_path(run.path)}'"
        )
    for step in reversed(steps[1:]):
        try:
            return Checkpoint.open(run.snapshot(step))
        except DamagedError as error:
            reporter.warning(f"{error}; taking the one before it")
    return Checkpoint.open(run.snapshot(steps[0]))


def load_generator(path: str | Path, *, raw: bool = False, device: str | torch.device = "cpu") -> FaceGenerator:
    """Rebuild a generator from its snapshot file alone.

    Args:
        path: A snapshot .safetensors file.
        raw: Take the current weights instead of their moving average.
        device: Where it runs.

    Raises:
        SnapshotError, PluginError: As `Checkpoint.open` and `Checkpoint.generator`.
    """
    return Checkpoint.open(path).generator(raw=raw, device=device)


def load_discriminator(path: str | Path, *, device: str | torch.device = "cpu") -> nn.Module:
    """Rebuild D from a snapshot file alone; takes and raises the same as `Checkpoint.discriminator`."""
    return Checkpoint.open(path).discriminator(device=device)


def load_network(path: Path, network: nn.Module, prefix: str) -> None:
    """Fill a network from a file of ours; raises SnapshotError where the tensors do not fit or are not finite."""
    try:
        tensors = read_tensors(path, prefix)
        if any(value.is_complex() for value in tensors.values()):
            raise RuntimeError("complex numbers")
        finite = all(bool(value.isfinite().all()) for value in tensors.values())
        network.load_state_dict(tensors)
    except (RuntimeError, SafetensorError) as error:
        raise SnapshotError(f"{path}: its weights do not fit its configuration ({one_line(error, 200)})") from None
    if not finite:
        raise SnapshotError(f"{path}: holds weights that are not finite; take a snapshot from before it")


def read_config(path: Path, metadata: Mapping[str, str]) -> RunConfig:
    """Return the configuration that a file of ours carries; raise SnapshotError when it cannot be read any more."""
    try:
        return validate(json.loads(metadata["config"]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SnapshotError(f"{path}: carries no readable configuration ({one_line(error, 200)})") from None
    except ConfigError as error:
        raise SnapshotError(f"{path}: carries a configuration that this version refuses ({error})") from None


class _Budget(TorchFunctionMode):
    """Lets tensors be made up to a number of bytes: a file of a few kilobytes cannot have a network of gigabytes built.

    Layers allocate their weights without filling them, which costs nothing until the file is refused.
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
