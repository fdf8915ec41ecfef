"""The other processes of a run that several train: rank 0 broadcasts the run, each worker takes the same steps."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch

from .. import __version__
from ..config import RunConfig, validate
from ..data.packed.load import load
from ..data.packed.packed_images import PackedImages
from ..errors import ConfigError, DataError
from .distributed import World
from .loop import make_loader, make_step
from .runtime import configured_torch, select_device, within_memory
from .state import TrainState, build_state

VERSIONS = [__version__, torch.__version__]


def broadcast_run(
    world: World, config: RunConfig, path: Path, *, data_digest: str, device: str, state: Path | None
) -> None:
    """Send the run from rank 0 to the workers, and wait until they are ready.

    The training set is already packed; `device` is the name that the user gave; `state` is the file to continue from,
    None for a new run. Raises PeerFailedError if a worker cannot take part; it reports the reason itself.
    """
    if world.size == 1:
        return
    message = {
        "config": config.model_dump(mode="json"),
        "path": str(path.absolute()),
        "data": data_digest,
        "device": device,
        "state": str(state.absolute()) if state else None,
        "versions": VERSIONS,
    }
    world.broadcast(json.dumps(message))
    world.start(select_device(config, world, device))


def run_worker(world: World, *, stop: Callable[[], bool] = lambda: False) -> tuple[Path, bool] | None:
    """Train the run of rank 0 on this process's share of the images; report and write nothing.

    The images come from the cache, where rank 0 has packed them; a machine with a cache of its own packs them again.

    Returns:
        The run's folder, and whether it reached its end; None: rank 0 had no run.

    Raises:
        FaceganError: Versions, images or devices do not fit rank 0's run, memory is full, or another process failed.
    """
    text = world.broadcast("")
    if not text:
        return None
    message = json.loads(text)
    if message["versions"] != VERSIONS:
        (ours, our_torch), (theirs, their_torch) = VERSIONS, message["versions"]
        raise ConfigError(
            f"rank {world.rank}: has facegan {ours} and torch {our_torch}, rank 0 has {theirs} and {their_torch}; "
            "install the same"
        )
    config = validate(message["config"])
    device = select_device(config, world, message["device"])
    data = load(config.data, resolution=config.resolution, channels=config.channels, at_least=config.train.batch_size)
    if data.digest != message["data"]:
        raise DataError(f"rank {world.rank}: {config.data.source}: holds other images here than for rank 0")

    def work() -> bool:
        state = build_state(config, device, world)
        if message["state"]:
            state.load(Path(message["state"]), data.digest)
        world.start(device)
        with configured_torch(config, device):
            return worker_loop(data, state, stop)

    return Path(message["path"]), within_memory(work, config, device)


def worker_loop(data: PackedImages, state: TrainState, stop: Callable[[], bool]) -> bool:
    """Train to the last step; return whether it was reached."""
    num_steps = state.config.train.num_steps(len(data))
    loader, run_step = make_loader(data, state), make_step(state)
    for step in range(state.step, num_steps):
        state.noise.manual_seed(noise_seed(state.config.seed, state.world.rank, step))
        real = loader.batch(step)
        state.world.any_stops()  # rank 0 may be evaluating or saving
        run_step(real)
        state.step = step + 1
        if state.world.any_stops(stop()) and state.step < num_steps:
            return False
    return True


def noise_seed(seed: int, rank: int, step: int) -> int:
    """Return the seed of a worker's noise at a step, so no state needs to hold it; rank 0 continues its noise."""
    digest = hashlib.sha256(f"noise {seed} {rank} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
