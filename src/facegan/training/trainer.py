"""Starting a run and resuming one: everything is checked before anything is written, then the loop."""

import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__
from ..config import DURATIONS, RunConfig, read_file, validate
from ..data.open import absolute_source
from ..data.packed.load import PackedImages, load
from ..data.source import suffix_counts
from ..errors import ConfigError, DamagedError, SnapshotError, TrainingError
from ..plugins import claim, names
from ..storage.atomic import as_json, write_atomic
from ..storage.best_snapshot import cut_evaluations
from ..storage.run_dir import RunDir
from ..storage.run_status import num_images_of
from ..storage.safetensors_file import read_header
from .artifacts import complete, finish
from .distributed import ALONE, World
from .loop import Report, Stop, training_loop
from .memory import within_memory
from .plan import check_disk, check_metrics, plan
from .runtime import computing, num_threads, placed
from .state import TrainState, build_state
from .worker import lead

if TYPE_CHECKING:
    from .evaluation_hook import Evaluating

Packing = Callable[[int, int], None]


def train(
    config: RunConfig,
    run: RunDir,
    *,
    report: Report = lambda _: None,
    packing: Packing | None = None,
    stop: Stop = lambda: False,
    force: bool = False,
    world: World = ALONE,
) -> bool:
    """Start a run in a new folder and train it to its end.

    Args:
        config: What to train; sections of plugins need not be complete.
        run: The folder; one that exists is refused.
        report: Called with `Progress` at each tick, and with lines worth reading.
        packing: Called with (done, total) while the images are packed for the first time.
        stop: Asked after each step; True saves and ends.
        force: Move an existing folder aside instead of refusing it.
        world: The processes that train it, of which this is rank 0; the others `follow`.

    Returns:
        Whether the run reached its end; False when `stop` ended it.

    Raises:
        ConfigError, PluginError, DataError, SnapshotError: Refused before anything was written.
        TrainingError: No room on the disk, or a loss that is not finite.
    """
    config = config.complete()
    check_metrics(config)
    device = placed(config, world)
    if force:
        run.refuse_running()
    else:
        run.refuse_existing()
    with nullcontext() if force else run.lock():
        data = _load(config, report, packing)
        counts = plan(config, len(data))
        check_disk(counts.run_bytes, run.path.absolute())
        source = {"source": absolute_source(config.data.source)}  # the run can then be resumed from any folder
        intervals = config.output.scaled(counts.num_steps)
        config = config.model_copy(update={"data": config.data.model_copy(update=source), "output": intervals})
        state = within_memory(config, device, data.images.nbytes, lambda: build_state(config, device, world), world)
        evaluating = _evaluating(config, run, data, device, report)
        lead(world, config, run.path, data_digest=data.digest, device=config.train.device, state=None)
        if force and (aside := run.move_aside()):
            report(f"{run.path}: what was there is now {aside}")
        with run.lock():
            run.create(config.to_json(), environment(config, device, world))
            where = str(device) if world.size == 1 else f"{world.size} processes on {device.type}"
            report(f"{run.path}: {counts.num_steps} steps on {len(data)} images, {where}")
            return _loop(config, run, data, state, evaluating, report, stop)


def resume(
    run: RunDir,
    *,
    duration: Mapping[str, float | None] | None = None,
    output: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    device: str | None = None,
    report: Report = lambda _: None,
    packing: Packing | None = None,
    stop: Stop = lambda: False,
    world: World = ALONE,
) -> bool | None:
    """Continue a run from its newest whole state, as if it had never stopped: on the CPU to the bit.

    Args:
        run: The run's folder.
        duration: A new total, one of `epochs`, `kimg`, `steps`; None keeps the run's own.
        output: Other intervals and numbers of files, of `output`; 0 scales an interval with the run's length. They do
            not change what is learnt.
        evaluation: Other settings of `evaluation`, which do not change it either.
        device: Another device than the run's own.
        report: As in `train`.
        packing: As in `train`.
        stop: As in `train`.
        world: As in `train`.

    Returns:
        None when the run is already finished, else as `train`.

    Raises:
        SnapshotError: There is no whole state, the images have changed, or another process is writing the run.
        ConfigError, PluginError, DataError, TrainingError: As `train`.
    """
    with run.lock():
        run.sweep()
        config = read_config(run)
        newest = _newest_whole(config, run, report)
        if duration:
            lengths = {**dict.fromkeys(DURATIONS), **duration}
            config = config.model_copy(update={"train": config.train.model_copy(update=lengths)})
        if output or evaluation:
            tree = config.model_dump()
            config = validate(
                {
                    **tree,
                    "output": {**tree["output"], **(output or {})},
                    "evaluation": {**tree["evaluation"], **(evaluation or {})},
                }
            )
        if newest and not duration and (num_images := _finished_on(config, run)):  # the images may be gone by now
            complete(config, run, num_images=num_images, report=report)
            return None
        check_metrics(config)
        chosen = placed(config, world, device)
        data = _load(config, report, packing)
        num_steps, step = config.train.num_steps(len(data)), max(run.steps("states"), default=0)
        if step == num_steps or (step > num_steps and not duration):
            complete(config, run, num_images=len(data), report=report)
            return None
        if step > num_steps:
            raise ConfigError(
                f"{run.path}: has {step} steps already, more than the {num_steps} asked for; ask for more"
            )
        config = config.model_copy(update={"output": config.output.scaled(num_steps)})
        state = within_memory(config, chosen, data.images.nbytes, lambda: build_state(config, chosen, world), world)
        evaluating = _evaluating(config, run, data, chosen, report)
        if newest is not None:
            check_disk(newest.stat().st_size, run.path.absolute())
            for line in state.load(newest, data.digest):
                report(f"{run.path}: {line}")
        name = device or config.train.device
        lead(world, config, run.path, data_digest=data.digest, device=name, state=newest)
        run.cut_metrics(state.step, inside_tick=bool(state.sums[-1]))
        cut_evaluations(run, state.step)
        if duration or output or evaluation:
            write_atomic(run.config, config.to_json().encode())
        if not run.environment.exists():
            write_atomic(run.environment, as_json(environment(config, chosen, world)))
        report(f"{run.path}: from step {state.step} to {num_steps}")
        return _loop(config, run, data, state, evaluating, report, stop)


def _newest_whole(config: RunConfig, run: RunDir, report: Report) -> Path | None:
    """The newest state whose bytes are those that were written; None: the run was ended before its first one.

    Damaged states are named and put aside, and so are damaged snapshots.

    Raises:
        SnapshotError: There was one, but none is whole.
    """
    first = config.output.state_every
    if not any((run.path / "states").glob("*")) and all(step <= first for step in run.steps("snapshots")):
        return None
    for kind, name in (("snapshots", "snapshot"), ("states", "state")):
        for step in reversed(run.steps(kind)):
            path = run.path / kind / f"step-{step:08d}.safetensors"
            try:
                read_header(path, name)
            except DamagedError as error:
                report(f"{error}; put aside as {run.put_aside(path).name}")
                continue
            if kind == "states":
                return path
            break
    raise SnapshotError(f"{run.path}: holds no whole state to resume from; start anew with 'facegan train'")


def _finished_on(config: RunConfig, run: RunDir) -> int:
    """How many images a finished run was trained on, as its metrics tell; 0: it is not finished."""
    last = next((record for record in reversed(list(run.read_metrics())) if record.get("epoch")), None)
    num_images = num_images_of(config, last)
    return num_images if num_images and run.steps("states")[-1] >= config.train.num_steps(num_images) else 0


def read_config(run: RunDir) -> RunConfig:
    """The configuration of a run, complete.

    Raises:
        ConfigError, PluginError: It cannot be read, or not any more.
    """
    return validate(read_file(run.config)).complete()


def environment(config: RunConfig, device: torch.device, world: World = ALONE) -> dict[str, Any]:
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
        "threads": num_threads(config),
        "processes": world.size,
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
        report(f"{config.data.source}: skipped {suffix_counts(data.index.passed_over)}, which are not read")
    if data.num_skipped:
        named = "; ".join(f"{name}: {reason}" for name, reason in data.skipped[:3])
        more = f"; and {data.num_skipped - 3} more" if data.num_skipped > 3 else ""
        pictures = "picture" if data.num_skipped == 1 else "pictures"
        report(f"{config.data.source}: skipped {data.num_skipped} {pictures} ({named}{more})")
    return data


def _evaluating(
    config: RunConfig, run: RunDir, data: PackedImages, device: torch.device, report: Report
) -> "Evaluating | None":
    """What measures the run while it is trained; None: nothing does, and nothing of it is loaded."""
    if not config.evaluation.every:
        return None
    from .evaluation_hook import Evaluating

    return Evaluating(config, run, data, device, report)


def _loop(
    config: RunConfig, run: RunDir, data: PackedImages, state: TrainState, evaluating: "Evaluating | None",
    report: Report, stop: Stop,
) -> bool:  # fmt: skip
    def work() -> bool:
        with computing(config, state.sums.device):
            return training_loop(config, run, data, state, evaluating=evaluating, report=report, stop=stop)

    ended = within_memory(config, state.sums.device, data.images.nbytes, work, state.world)
    if ended:
        try:
            finish(config, run, num_images=len(data), report=report)
        except OSError as error:
            raise TrainingError(
                f"{run.path}: trained and saved, but its images and card cannot be written ({error.strerror}); "
                "make room, then 'facegan resume' writes them"
            ) from None
    return ended
