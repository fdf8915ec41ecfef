"""Start a run or resume one: everything is checked before anything is written, then the loop."""

import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__
from ..checkpoint import load_generator
from ..config import DURATIONS, RunConfig, read_file, refuse_idle_metrics, validate
from ..data.open import absolute_source
from ..data.packed.load import compare_names, load, remarks
from ..data.packed.packed_images import PackedImages
from ..errors import ConfigError, DamagedError, DataError, SnapshotError, TrainingError
from ..generator import FaceGenerator
from ..messages import counted, local_path, shell_path
from ..plugins import claim, names
from ..reporter import SILENT, Reporter
from ..storage.atomic import as_json, write_atomic
from ..storage.best_snapshot import best_snapshot, cut_evaluations
from ..storage.run_dir import RunDir
from ..storage.run_status import num_images_of, read_run_config
from ..storage.safetensors_file import TensorFile, open_tensors
from .artifacts import complete, finish
from .cuda_graph import NUM_EAGER
from .distributed import ALONE, World, torchrun_launch
from .loop import NUM_GRID, TrainLoop, make_step
from .plan import check_disk, check_metrics, plan, settled, warnings, with_length
from .runtime import configured_torch, num_threads, select_device, within_memory
from .state import TrainState, build_state, check_images, memory_format
from .worker import broadcast_run

if TYPE_CHECKING:
    from .evaluation_hook import EvaluationHook

Stop = Callable[[], bool]


@dataclass(frozen=True)
class TrainedRun:
    """A run that was trained."""

    path: Path  # its folder, which `facegan resume`, `sample`, `plot` and the others take
    finished: bool  # whether it reached its end; False when `stop` ended it before

    @property
    def snapshot(self) -> Path:
        """Its newest snapshot file, which alone is enough to draw faces."""
        newest = RunDir(self.path).latest("snapshots")
        assert newest is not None, "a run that ended has one"
        return newest

    @property
    def best(self) -> Path | None:
        """The best snapshot file by the evaluations during training; None: none ranked one."""
        run = RunDir(self.path)
        config, _ = read_run_config(run)
        found = best_snapshot(run, config.evaluation) if config else None
        return found.path if found else None

    def generator(self, *, raw: bool = False, device: str | torch.device = "cpu") -> FaceGenerator:
        """Load G of its newest snapshot; arguments and errors as `load_generator`."""
        return load_generator(self.snapshot, raw=raw, device=device)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl: `step`, `loss/D`, `loss/G`, `score/real` and more, one for each tick."""
        return list(RunDir(self.path).read_metrics())


def train(
    config: RunConfig,
    run: RunDir,
    *,
    reporter: Reporter = SILENT,
    stop: Stop = lambda: False,
    force: bool = False,
    world: World = ALONE,
    notice: str = "",
) -> bool:
    """Start a run in a new folder and train it; return whether it reached its end, or `stop` ended it.

    Args:
        config: Settings; sections of plugins need not be complete.
        run: The folder; an existing one is refused.
        reporter: Receives progress at each tick and while images are packed, and lines.
        stop: Asked after each step; True saves and ends.
        force: Move an existing folder aside instead of refusing it.
        world: The processes that train it, of which this is rank 0; the others call `run_worker`.
        notice: A line to report once the run is accepted; empty: none.

    Raises:
        FaceganError: Refused before anything was written; the disk is full; or a loss is not finite.
    """
    config = config.complete()
    device = select_device(config, world)
    if force:
        run.refuse_running()
    else:
        run.refuse_existing()
    with nullcontext() if force else run.lock():
        data = _load_data(config, reporter)
        config = settled(with_length(config, device, world.size), len(data), device)
        counts = plan(config, len(data))
        check_disk(counts.run_bytes, run.path.absolute())
        source = {"source": absolute_source(config.data.source)}  # the run can then be resumed from any folder
        intervals = config.output.scaled(counts.num_steps)
        config = config.model_copy(update={"data": config.data.model_copy(update=source), "output": intervals})
        state = _build_state(config, device, world, data)
        hook = _make_hook(config, run, data, device, reporter)
        broadcast_run(world, config, run.path, data_digest=data.digest, device=config.train.device, state=None)
        if force and (aside := run.move_aside()):
            reporter.info(f"{run.path}: the previous contents are now in {aside}")
        with run.lock():
            run.create(config.to_json(), environment(config, device, world))
            _report_start(reporter, notice, warnings(config, len(data)))
            where = str(device) if world.size == 1 else f"{world.size} processes on {device.type}"
            reporter.info(f"{run.path}: {counted(counts.num_steps, 'step')} on {counted(len(data), 'image')}, {where}")
            return _run_loop(run, state, data=data, hook=hook, reporter=reporter, stop=stop)


def resume(
    run: RunDir,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    device: str | None = None,
    reporter: Reporter = SILENT,
    stop: Stop = lambda: False,
    world: World = ALONE,
) -> bool | None:
    """Continue a run from its newest valid state, as if it had never stopped: bit for bit on the CPU.

    `changes` are settings by section, in effect from the state on: a new length (`epochs`, `kimg` or `steps` of
    `train`), a new `source` of `data`, and what `config.CHANGEABLE` names. Returns as `train`; None: finished already.

    Raises:
        FaceganError: There is no valid state, the images have changed, config.json was edited, or as `train`.
    """
    from .changes import Changes

    changes = {section: values for section, values in (changes or {}).items() if values}
    with run.lock():
        run.sweep()
        config = read_config(run)
        newest = _newest_state(config, run, reporter)
        applied = Changes(run, config, newest, reporter)
        config = applied.apply(changes)
        refuse_idle_metrics(changes.get("evaluation", {}).get("metrics"), config.evaluation.every)
        longer, moved = any(name in DURATIONS for name in changes.get("train", {})), "data" in changes
        if newest and not longer and not moved and (num_images := _finished_on(config, run)):  # they may be gone
            complete(config, run, num_images=num_images, reporter=reporter)
            return None
        check_metrics(config)
        chosen = select_device(config, world, device)
        data = _load_moved(config, run, reporter, newest)
        if _is_finished(run, config.train.num_steps(len(data)), longer=longer):
            if moved:
                applied.write_source(config)
            complete(config, run, num_images=len(data), reporter=reporter)
            return None
        config = applied.settle(config, len(data), chosen)
        state, path = _build_state(config, chosen, world, data), newest.path if newest else None
        hook = _make_hook(config, run, data, chosen, reporter)
        if path:
            _load_state(state, path, data.digest, reporter)
        name = device or config.train.device
        broadcast_run(world, config, run.path, data_digest=data.digest, device=name, state=path)
        applied.write(config)
        _rewind(run, state)
        reporter.info(f"{run.path}: from step {state.step} to {config.train.num_steps(len(data))}")
        return _run_loop(run, state, data=data, hook=hook, reporter=reporter, stop=stop)


def read_config(run: RunDir) -> RunConfig:
    """Return the complete configuration of a run; raises ConfigError or PluginError."""
    return validate(read_file(run.config)).complete()


def environment(config: RunConfig, device: torch.device, world: World = ALONE) -> dict[str, Any]:
    """Return the contents of environment.json: the command, the versions, the machine, the origins of plugins."""
    parts = {"architecture": config.architecture.name, "loss": config.loss.name, "dataset": config.data.source}
    launch = torchrun_launch()
    return {
        "command": sys.argv,
        "facegan": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "threads": num_threads(config),
        "processes": world.size,
        **({"launch": launch} if launch else {}),
        "plugins": {kind: claim(kind, name).origin for kind, name in parts.items() if name in names(kind)},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _report_start(reporter: Reporter, notice: str, warned: list[str]) -> None:
    if notice:
        reporter.info(notice)
    for line in warned:
        reporter.warning(line)


def _newest_state(config: RunConfig, run: RunDir, reporter: Reporter) -> TensorFile | None:
    """Return the newest undamaged state, None if the run was ended before its first one; rename damaged files."""
    first = config.output.state_every
    if not any((run.path / "states").glob("*")) and all(step <= first for step in run.steps("snapshots")):
        return None
    for kind, path_of in (("snapshot", run.snapshot), ("state", run.state)):
        for path in map(path_of, reversed(run.steps(f"{kind}s"))):
            try:
                found = open_tensors(path, kind)
            except DamagedError as error:
                reporter.info(f"{error}; put aside as {run.put_aside(path).name}")
                continue
            if kind == "state":
                return found
            break
    raise SnapshotError(f"{run.path}: has no valid state to resume from; start again with 'facegan train'")


def _finished_on(config: RunConfig, run: RunDir) -> int:
    """Return the number of images of a finished run, from its metrics; 0: it is not finished."""
    num_images = num_images_of(config, next((line for line in [*run.read_metrics()][::-1] if line.get("epoch")), None))
    return num_images if num_images and run.steps("states")[-1] >= config.train.num_steps(num_images) else 0


def _is_finished(run: RunDir, num_steps: int, *, longer: bool) -> bool:
    """Return whether a run has reached its last step; raises ConfigError if it should become `longer` but would not."""
    step = max(run.steps("states"), default=0)
    if longer and step > num_steps:
        raise ConfigError(f"{run.path}: already has {step} steps, more than the {num_steps} requested; give more")
    return step >= num_steps


def _load_data(config: RunConfig, reporter: Reporter) -> PackedImages:
    source, size = config.data.source, config.train.batch_size
    data = load(config.data, resolution=config.resolution, channels=config.channels, at_least=size, reporter=reporter)
    for line in remarks(data):
        reporter.info(f"{source}: {line}")
    if data.are_equal():
        reporter.warning(f"{source}: all {len(data):,} images are equal; G can learn nothing but this one")
    return data


def _load_moved(config: RunConfig, run: RunDir, reporter: Reporter, state: TensorFile | None) -> PackedImages:
    """Load the images of a run, checked by its state, if any; the error of a source that is gone offers the way on."""
    try:
        data = _load_data(config, reporter)
    except DataError as error:
        source = Path(local_path(config.data.source))
        if not source.is_absolute() or source.exists():
            raise
        raise DataError(
            f"{error}; if the images have moved, continue with 'facegan resume {shell_path(run.path)} --data SOURCE'"
        ) from None
    if state:
        check_images(state, data.digest, _difference(config, run, data))
    return data


def _difference(config: RunConfig, run: RunDir, data: PackedImages) -> str:
    """Return how the images differ from those of a run, as far as it is known; begins with a colon, or is empty."""
    if found := compare_names(run.images, data):
        return f": {found}"
    if config.data.reading > 1 or not run.path.resolve().is_relative_to(Path(local_path(config.data.source)).resolve()):
        return ""
    return (
        f": it is of an earlier version, which takes its grids for images; move {run.path} out of {data.index.source}"
    )


def _build_state(config: RunConfig, device: torch.device, world: World, data: PackedImages) -> TrainState:
    attempt = _attempt(config, device, world, data)
    return within_memory(partial(build_state, config, device, world), config, device, attempt=attempt)


def _run_loop(
    run: RunDir, state: TrainState, *, data: PackedImages, hook: "EvaluationHook | None", reporter: Reporter, stop: Stop
) -> bool:
    """Train to the end, and write the artifacts of a finished run; return whether it is finished."""
    config, device = state.config, state.device

    def work() -> bool:
        with configured_torch(config, device):
            return TrainLoop(run, data, state, hook=hook, reporter=reporter).run_loop(stop)

    finished = within_memory(work, config, device, attempt=_attempt(config, device, state.world, data))
    if finished:
        try:
            finish(config, run, num_images=len(data), reporter=reporter)
        except OSError as error:
            raise TrainingError(
                f"{run.path}: trained and saved, but its images and card cannot be written ({error.strerror}); "
                "free some space, then 'facegan resume' writes them"
            ) from None
    return finished


def _attempt(config: RunConfig, device: torch.device, world: World, data: PackedImages) -> Callable[[int], None] | None:
    """Return a function that tries a batch size out; None where only a process on its own, on CUDA, may."""
    if device.type != "cuda" or world.size > 1:
        return None
    return partial(try_batch_size, config, device, data.images.nbytes)


def try_batch_size(config: RunConfig, device: torch.device, data_bytes: int, size: int) -> None:
    """Do what a run with this batch size does: steps of both kinds until they are captured, a calibration, a grid."""
    config = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": size})})
    resident = []
    if device.type == "cuda":
        torch.cuda.empty_cache()
        if data_bytes <= torch.cuda.mem_get_info(device)[0] // 2:  # as the loader decides
            resident.append(torch.empty(data_bytes, dtype=torch.uint8, device=device))
    with configured_torch(config, device):
        state, shape = build_state(config, device), (config.channels, config.resolution, config.resolution)
        run_step = make_step(state)
        real = torch.zeros(config.train.images_per_step, *shape, device=device)
        real = real.to(memory_format=memory_format(config))
        for state.step in (0, 1) * (NUM_EAGER + 2):  # penalised, if any is, and mostly not
            run_step(real)
        state.calibrate()
        state.generator().sample(range(NUM_GRID))
        int(state.first_bad_step)  # waits for the device


def _make_hook(
    config: RunConfig, run: RunDir, data: PackedImages, device: torch.device, reporter: Reporter
) -> "EvaluationHook | None":
    """Return the hook of evaluations during training; None without any, and then nothing of it is imported."""
    if not config.evaluation.every:
        return None
    from .evaluation_hook import EvaluationHook

    return EvaluationHook(config, run, data, device, reporter)


def _load_state(state: TrainState, path: Path, data_digest: str, reporter: Reporter) -> None:
    folder = path.parent.parent
    check_disk(path.stat().st_size, folder.absolute())
    for line in state.load(path, data_digest):
        reporter.info(f"{folder}: {line}")


def _rewind(run: RunDir, state: TrainState) -> None:
    """Cut the run's records back to the state's step."""
    run.cut_metrics(state.step, inside_tick=bool(state.sums[-1]))
    cut_evaluations(run, state.step)
    if not run.environment.exists():
        write_atomic(run.environment, as_json(environment(state.config, state.device, state.world)))
