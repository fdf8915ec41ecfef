"""Train a generator, and resume a run."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ..errors import ConfigError
from ..reporter import Callbacks, Reporter
from .options import (
    Device,
    Epochs,
    EvaluateEvery,
    Kimg,
    PathLike,
    Run,
    SettingsLike,
    Steps,
    TrainingMetrics,
    load_torch,
)

if TYPE_CHECKING:
    from ..config import RunConfig
    from ..storage.run_dir import RunDir
    from ..training.distributed import World
    from ..training.trainer import TrainedRun


def train(
    data: Annotated[
        PathLike | None,
        Option(help="drawn (built-in faces; the default), a downloaded dataset's name, a folder, an archive, parquet."),
    ] = None,
    run: Annotated[PathLike | None, Option(help="The run's folder; by default runs/DATA-PRESET-NUMBER.")] = None,
    *,
    preset: Annotated[str | None, Option(help="A named set of settings; 'facegan presets' shows them.")] = None,
    config: Annotated[PathLike | None, Option(help="A .toml or .json file of settings.")] = None,
    settings: Annotated[
        SettingsLike, Option("--set", metavar="SECTION.KEY=VALUE", help="Any setting; repeatable.")
    ] = (),
    resolution: Annotated[
        int | None, Option(help="Height and width of the images in pixels: 16, 32, 64, 128 or 256.")
    ] = None,
    batch_size: Annotated[int | None, Option(help="Images per step.")] = None,
    epochs: Epochs = None,
    kimg: Kimg = None,
    steps: Steps = None,
    seed: Annotated[int | None, Option(help="Seed of weights, data order and noise.")] = None,
    device: Device = None,
    precision: Annotated[str | None, Option(help="auto, fp32, bf16 or fp16.")] = None,
    deterministic: Annotated[
        bool, Option("--deterministic", help="On CUDA, use only kernels that repeat to the bit; slower.")
    ] = False,
    evaluate_every: EvaluateEvery = None,
    metrics: TrainingMetrics = None,
    force: Annotated[bool, Option("--force", help="Move an existing run folder aside.")] = False,
    report: Callable[[Any], None] | None = None,
    packing: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    reporter: Reporter | None = None,
    world: "World | None" = None,
) -> "TrainedRun":
    """Train a generator of faces in a new run folder.

    Args:
        report: Called with `TrainingProgress` at each tick, and with lines worth reading; `print` will do.
        packing: Called with (done, total) while the images are packed for the first time.
        stop: Asked after each step; True saves and ends, and `resume` continues. Where torchrun has started several
            processes, that of any of them.
        reporter: Receives everything, in place of `report` and `packing`.
        world: The processes that train together; None: those of the environment.

    Returns:
        The run.

    Raises:
        ConfigError, PluginError, DataError, SnapshotError: Refused before anything was written.
        TrainingError: The disk is full, or a loss is not finite.
    """
    wanted = resolve_config(
        data=data, preset=preset, config=config, settings=settings, resolution=resolution, batch_size=batch_size,
        epochs=epochs, kimg=kimg, steps=steps, seed=seed, device=device, precision=precision,
        deterministic=deterministic, evaluate_every=evaluate_every, metrics=metrics,
    )  # fmt: skip
    _allow_deterministic(wanted.train.deterministic)
    name = preset or (Path(config).stem if config else "dcgan")
    reporter = reporter or _adapter(report, packing)

    from ..training.distributed import joined

    with nullcontext(world) if world else joined() as chosen:
        if not chosen.is_main:
            return _take_part(chosen, stop)
        with _run_folder(run, wanted.run_name(name)) as folder:
            load_torch()
            from ..training.trainer import TrainedRun
            from ..training.trainer import train as start

            replaces = force and run is not None  # a free name replaces nothing
            if not replaces:
                folder.refuse_existing()
            reporter.begin_run(folder.path, is_new=True)
            finished = start(wanted, folder, reporter=reporter, stop=stop, force=replaces, world=chosen)
            return TrainedRun(folder.path, finished)


def resume(
    run: Run = None,
    *,
    epochs: Epochs = None,
    kimg: Kimg = None,
    steps: Steps = None,
    settings: Annotated[
        SettingsLike,
        Option("--set", metavar="SECTION.KEY=VALUE", help="Another setting of output or evaluation; repeatable."),
    ] = (),
    device: Device = None,
    evaluate_every: EvaluateEvery = None,
    metrics: TrainingMetrics = None,
    stop: Callable[[], bool] = lambda: False,
    reporter: Reporter | None = None,
    world: "World | None" = None,
) -> "TrainedRun":
    """Continue a run, or extend a finished one.

    --epochs, --kimg or --steps give a new total; without them a finished run is left as it is. Only the settings of
    `output` and `evaluation` can change: all others would make another run of it.

    Args:
        stop: As in `train`.
        reporter: As in `train`.
        world: As in `train`.

    Raises:
        SnapshotError: There is no valid state, the images have changed, or another process is writing the run.
        ConfigError, PluginError, DataError, TrainingError: As in `train`.
    """
    from ..config import named_layer, read_file, refuse_idle_metrics
    from ..storage.run_dir import find_run
    from ..training.distributed import joined

    duration, changes = one_duration(epochs, kimg, steps), _changes(settings)
    flags = named_layer(evaluate_every=evaluate_every, metrics=metrics).get("evaluation", {})
    evaluation = {**flags, **changes.get("evaluation", {})}
    found = find_run(run)
    stored = read_file(found.config)
    before = {key: stored[key] if isinstance(stored.get(key), dict) else {} for key in ("train", "evaluation")}
    refuse_idle_metrics(metrics, evaluation.get("every", before["evaluation"].get("every")))
    _allow_deterministic(before["train"].get("deterministic") is True)
    reporter = reporter or Reporter()

    with nullcontext(world) if world else joined() as chosen:
        if not chosen.is_main:
            return _take_part(chosen, stop, finished=found.path)

        load_torch()
        from ..training.trainer import TrainedRun
        from ..training.trainer import resume as resume_run

        reporter.begin_run(found.path, is_new=False)
        wanted = {"train": duration, "output": changes.get("output", {}), "evaluation": evaluation}
        ended = resume_run(found, wanted, device=device, reporter=reporter, stop=stop, world=chosen)
        if ended is None:
            reporter.info(f"{found.path}: finished already; --epochs, --kimg or --steps with a larger total extends it")
        return TrainedRun(found.path, ended is not False)


def resolve_config(
    *,
    preset: str | None = None,
    config: PathLike | None = None,
    settings: SettingsLike = (),
    epochs: float | None = None,
    kimg: float | None = None,
    steps: int | None = None,
    **named: Any,
) -> "RunConfig":
    """Resolve the settings of a new run.

    Args:
        preset: As in `train`.
        config: As in `train`.
        settings: As in `train`.
        epochs: As in `train`.
        kimg: As in `train`.
        steps: As in `train`.
        named: The other parameters of `train` that are settings.

    Raises:
        ConfigError: A setting does not exist, has an invalid value, or excludes another.
    """
    from ..config import named_layer, refuse_idle_metrics, resolve

    named |= one_duration(epochs, kimg, steps)
    named |= {"data": named.get("data") and str(named["data"]), "deterministic": named.get("deterministic") or None}
    wanted = resolve(preset=preset, file=config, flags=named_layer(**named), settings=settings)
    refuse_idle_metrics(named.get("metrics"), wanted.evaluation.every)
    return wanted


def one_duration(epochs: float | None, kimg: float | None, steps: int | None) -> dict[str, float]:
    """Return the duration that was given.

    Raises:
        ConfigError: More than one was, or it is not above 0.
    """
    given = {"epochs": epochs, "kimg": kimg, "steps": steps}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join('--' + name for name in chosen)} exclude each other; give one")
    for name, value in chosen.items():
        if not 0 < value < float("inf"):
            raise ConfigError(f"--{name} is {value:g}; it must be above 0, and finite")
    return chosen


def _changes(settings: SettingsLike) -> dict[str, Any]:
    """Return the settings of `output` and `evaluation` that are given; raises ConfigError for others."""
    from ..config import flat, settings_layer

    layer = settings_layer(settings)
    for key, value in flat(layer).items():
        if not key.startswith(("output.", "evaluation.")):
            raise ConfigError(
                f"--set {key}={value}: cannot change in a run; only settings of output and evaluation can. Start a new "
                "run for it"
            )
    return layer


def _run_folder(path: PathLike | None, stem: str) -> "AbstractContextManager[RunDir]":
    """Return the run's folder; a name that was not given is reserved at once, so that no other run takes it."""
    from ..storage.run_dir import RunDir, next_free

    return next_free(Path("runs"), stem) if path is None else nullcontext(RunDir(Path(path)))


def _allow_deterministic(wanted: bool) -> None:
    """Have cuBLAS keep one order of summation, which it does only if the environment says so before it starts."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _take_part(world: "World", stop: Callable[[], bool], finished: Path | None = None) -> "TrainedRun":
    """Train in a run that rank 0 leads; `finished` is the run it resumes, which may need no more training."""
    from ..training.trainer import TrainedRun
    from ..training.worker import run_worker

    trained = run_worker(world, stop=stop)
    if trained is None:
        assert finished is not None, "a new run is trained, or fails"
        return TrainedRun(finished, True)
    return TrainedRun(*trained)


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a run at a tick; `metrics` is the line just written to metrics.jsonl."""

    step: int
    num_steps: int
    metrics: dict[str, Any]


def _adapter(report: Callable[[Any], None] | None, packing: Callable[[int, int], None] | None) -> Reporter:
    """Return a reporter that calls the callbacks of `train`."""

    def show(step: int, num_steps: int, metrics: Mapping[str, Any]) -> None:
        if report is not None:
            report(TrainingProgress(step, num_steps, dict(metrics)))

    return Callbacks(line=report, metrics=show, progress={"packing": packing} if packing else None)
