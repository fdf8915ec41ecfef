"""Starting a run and resuming one: everything is checked before anything is written, then the loop."""

import platform
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import torch

from .. import __version__
from ..config import DURATIONS, RunConfig, read_file, validate
from ..data.packed.loading import PackedImages, load
from ..data.pictures import in_words
from ..data.sources.opening import anchored
from ..errors import ConfigError, SnapshotError
from ..plugins import claim, names
from ..run import RunDir, write_atomic
from .finish import finish
from .loop import Report, Stop, training_loop
from .plan import check_disk, plan
from .state import build_state, choose_device

Packing = Callable[[int, int], None]


def train(
    config: RunConfig,
    run: RunDir,
    *,
    report: Report = lambda _: None,
    packing: Packing | None = None,
    stop: Stop = lambda: False,
    force: bool = False,
) -> bool:
    """Start a run in a new folder and train it to its end.

    Args:
        config: What to train; sections of plugins need not be complete.
        run: The folder; one that exists is refused.
        report: Called with `Progress` at each tick, and with lines worth reading.
        packing: Called with (done, total) while the pictures are packed for the first time.
        stop: Asked after each step; True saves and ends.
        force: Move an existing folder aside instead of refusing it.

    Returns:
        Whether the run reached its end; False when `stop` ended it.

    Raises:
        ConfigError, PluginError, DataError, SnapshotError: Refused before anything was written.
        TrainingError: No room on the disk, or a loss that is not finite.
    """
    config = config.complete()
    device = choose_device(config.train.device)
    if not force:
        run.refuse_existing()
    data = _load(config, report, packing)
    counts = plan(config, len(data))
    check_disk(counts.run_bytes, run.path.absolute())
    source = {"source": anchored(config.data.source)}  # the run can then be resumed from any folder
    intervals = config.output.scaled(counts.num_steps)
    config = config.model_copy(update={"data": config.data.model_copy(update=source), "output": intervals})
    state = build_state(config, device)
    if force and (aside := run.move_aside()):
        report(f"{run.path}: what was there is now {aside}")
    run.create(config.to_json(), environment(config, device))
    report(f"{run.path}: {counts.num_steps} steps on {len(data)} pictures, {device}")
    return _loop(config, run, data, state, report, stop)


def resume(
    run: RunDir,
    *,
    duration: Mapping[str, float | None] | None = None,
    device: str | None = None,
    report: Report = lambda _: None,
    packing: Packing | None = None,
    stop: Stop = lambda: False,
) -> bool | None:
    """Continue a run from its newest state, as if it had never stopped: on the CPU to the bit.

    Args:
        run: The run's folder.
        duration: A new total, one of `epochs`, `kimg`, `steps`; None keeps the run's own.
        device: Another device than the run's own.
        report: As in `train`.
        packing: As in `train`.
        stop: As in `train`.

    Returns:
        None when the run is already finished, else as `train`.

    Raises:
        SnapshotError: There is no state, it is damaged, or the pictures have changed.
        ConfigError, PluginError, DataError, TrainingError: As `train`.
    """
    config = read_config(run)
    if duration:
        lengths = {**dict.fromkeys(DURATIONS), **duration}
        config = config.model_copy(update={"train": config.train.model_copy(update=lengths)})
    newest = run.latest("states")
    if newest is None:
        raise SnapshotError(f"{run.path}: holds no state to resume from; start anew with 'facegan train'")
    if not duration and _is_finished(config, run):  # said without a look at the pictures, which may have gone
        return None
    chosen = choose_device(device or config.train.device)
    data = _load(config, report, packing)
    num_steps, step = config.train.num_steps(len(data)), run.steps("states")[-1]
    if step == num_steps or (step > num_steps and not duration):
        return None
    if step > num_steps:
        raise ConfigError(f"{run.path}: has {step} steps already, more than the {num_steps} asked for; ask for more")
    state = build_state(config, chosen)
    state.load(newest, data.digest)
    run.cut_metrics(state.step, config.output.tick_every)
    if duration:
        write_atomic(run.config, config.to_json().encode())
    report(f"{run.path}: from step {state.step} to {num_steps}")
    return _loop(config, run, data, state, report, stop)


def _is_finished(config: RunConfig, run: RunDir) -> bool:
    """Whether the newest state is the run's last, as its metrics tell: they know how many pictures an epoch has."""
    last = next((record for record in reversed(list(run.read_metrics())) if record.get("epoch")), None)
    if last is None:
        return False
    num_images = round(last["step"] * config.train.batch_size / last["epoch"])
    return run.steps("states")[-1] >= config.train.num_steps(num_images)


def read_config(run: RunDir) -> RunConfig:
    """The configuration of a run, complete.

    Raises:
        ConfigError, PluginError: It cannot be read, or not any more.
    """
    return validate(read_file(run.config)).complete()


def environment(config: RunConfig, device: torch.device) -> dict[str, Any]:
    """What a run is started on and with."""
    parts = {"architecture": config.architecture.name, "loss": config.loss.name, "dataset": config.data.source}
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "command": sys.argv,
        "facegan": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
        "device": str(device),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "plugins": {kind: claim(kind, name).origin for kind, name in parts.items() if name in names(kind)},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _load(config: RunConfig, report: Report, packing: Packing | None) -> PackedImages:
    data = load(
        config.data,
        resolution=config.resolution,
        channels=config.channels,
        at_least=config.train.batch_size,
        progress=packing,
    )
    if data.index.passed_over:
        report(f"{config.data.source}: passed over {in_words(data.index.passed_over)}, which are not read")
    if data.num_skipped:
        named = "; ".join(f"{name}: {reason}" for name, reason in data.skipped[:3])
        more = f"; and {data.num_skipped - 3} more" if data.num_skipped > 3 else ""
        pictures = "picture" if data.num_skipped == 1 else "pictures"
        report(f"{config.data.source}: skipped {data.num_skipped} {pictures} ({named}{more})")
    return data


def _loop(config: RunConfig, run: RunDir, data: PackedImages, state: Any, report: Report, stop: Stop) -> bool:
    ended = training_loop(config, run, data, state, report=report, stop=stop)
    if ended:
        finish(config, run, num_images=len(data), report=report)
    return ended
