"""A run that several processes train: what rank 0 tells the others, and what those do."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import torch

from .. import __version__
from ..config import RunConfig, validate
from ..data.packed.load import PackedImages, load
from ..errors import ConfigError, DataError
from .distributed import World
from .loop import Stop, stepping
from .memory import within_memory
from .runtime import computing, placed
from .state import TrainState, build_state

VERSIONS = [__version__, torch.__version__]


class Followed(NamedTuple):
    """A run that this process took part in."""

    path: Path
    ended: bool  # False: stopped before its end


def lead(world: World, config: RunConfig, path: Path, *, data_digest: str, device: str, state: Path | None) -> None:
    """Have the other processes make ready for a run, and wait until they are.

    Args:
        world: Of which this is rank 0.
        config: Complete, with its intervals resolved.
        path: The run's folder.
        data_digest: Of the training set, which is packed by now.
        device: As the person named it.
        state: That the run is to go on from; None: it is new.

    Raises:
        ToldError: One of them cannot take part, and has said why.
    """
    if world.size == 1:
        return
    order = {
        "config": config.model_dump(mode="json"),
        "path": str(path.absolute()),
        "data": data_digest,
        "device": device,
        "state": str(state.absolute()) if state else None,
        "versions": VERSIONS,
    }
    world.share(json.dumps(order))
    world.begin(placed(config, world, device))


def follow(world: World, *, stop: Stop = lambda: False) -> Followed | None:
    """Take part in a run that rank 0 leads: the same steps, on this process's share of the images.

    It says and writes nothing; the images come from the cache, where rank 0 has packed them, or are packed here if
    this machine has a cache of its own.

    Args:
        world: Of which this is not rank 0.
        stop: Asked after each step; True ends the run for all.

    Returns:
        The run; None: there was nothing to do.

    Raises:
        ConfigError: The processes are not of the same versions, or as of `placed`.
        DataError: The images are not those of rank 0.
        SnapshotError: The state to go on from cannot be read here.
        TrainingError: The memory is full, or another process has ended.
        ToldError: Another process has failed.
    """
    said = world.share("")
    if not said:
        return None
    order = json.loads(said)
    if order["versions"] != VERSIONS:
        (ours, our_torch), (theirs, their_torch) = VERSIONS, order["versions"]
        raise ConfigError(
            f"rank {world.rank}: has facegan {ours} and torch {our_torch}, rank 0 has {theirs} and {their_torch}; "
            "install the same"
        )
    config = validate(order["config"])
    device = placed(config, world, order["device"])
    data = load(config.data, resolution=config.resolution, channels=config.channels, at_least=config.train.batch_size)
    if data.digest != order["data"]:
        raise DataError(f"rank {world.rank}: {config.data.source}: holds other images here than for rank 0")

    def work() -> bool:
        state = build_state(config, device, world)
        if order["state"]:
            state.load(Path(order["state"]), data.digest)
        world.begin(device)
        with computing(config, device):
            return _steps(config, data, state, stop)

    return Followed(Path(order["path"]), within_memory(config, device, data.images.nbytes, work, world))


def _steps(config: RunConfig, data: PackedImages, state: TrainState, stop: Stop) -> bool:
    """The loop of a process that does not lead; whether it reached the run's end."""
    num_steps = config.train.num_steps(len(data))
    feed, advance = stepping(config, data, state, report=lambda _: None)
    while state.step < num_steps:
        state.noise.manual_seed(noise_seed(config.seed, state.world.rank, state.step))
        feed.turn_to(state.step)
        advance()
        state.step += 1
        if state.world.meet(stop()) and state.step < num_steps:
            return False
    return True


def noise_seed(seed: int, rank: int, step: int) -> int:
    """What the noise of a step is drawn from by a rank that does not lead: no state needs to hold it.

    Rank 0 draws on from step to step, as a process on its own does.
    """
    digest = hashlib.sha256(f"noise {seed} {rank} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
