"""Train a generator, and resume a run."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ..reporter import Callbacks, Reporter
from . import options
from .options import Device, Epochs, EvaluateEvery, Kimg, PathLike, Run, SettingsLike, Steps, TrainingMetrics

if TYPE_CHECKING:
    from ..config import RunConfig
    from ..training.distributed import World
    from ..training.trainer import TrainedRun

Data = Annotated[
    PathLike | None,
    Option(help="drawn (built-in faces; the default), a downloaded dataset's name, a folder, an archive, parquet."),
]
Resolution = Annotated[
    int | None, Option(help="Height and width of the images in pixels: 16, 32, 64, 128, 256 or 512.")
]
Preset = Annotated[str | None, Option(help="A named set of settings, faces by default; 'facegan presets' shows them.")]
Settings = Annotated[SettingsLike, Option("--set", metavar="SECTION.KEY=VALUE", help="Any setting; repeatable.")]
Minutes = Annotated[
    float | None, Option(help="Length in minutes: a few timed steps choose --kimg, so that schedules end in time.")
]
Deterministic = Annotated[
    bool, Option("--deterministic", help="On CUDA, use only kernels that repeat to the bit; slower.")
]


def train(
    data: Data = None,
    run: Annotated[PathLike | None, Option(help="The run's folder; by default runs/DATA-PRESET-NUMBER.")] = None,
    *,
    preset: Preset = None,
    config: Annotated[PathLike | None, Option(help="A .toml or .json file of settings.")] = None,
    settings: Settings = (),
    resolution: Resolution = None,
    batch_size: Annotated[int | None, Option(help="Images per step.")] = None,
    epochs: Epochs = None,
    kimg: Kimg = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Annotated[int | None, Option(help="Seed of weights, data order and noise.")] = None,
    device: Device = None,
    precision: Annotated[str | None, Option(help="auto, fp32, bf16 or fp16.")] = None,
    deterministic: Deterministic = False,
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
        stop: Asked after each step, in all processes; True saves and ends, and `resume` continues.
        reporter: Receives everything, in place of `report` and `packing`.
        world: The processes that train together; None: those of the environment.

    Raises:
        ConfigError, PluginError, DataError, SnapshotError: Refused before anything was written.
        TrainingError: The disk is full, or a loss is not finite.
    """
    is_default = preset is None and config is None
    wanted = resolve_config(
        data=data, preset=preset, config=config, settings=settings, resolution=resolution, batch_size=batch_size,
        epochs=epochs, kimg=kimg, steps=steps, minutes=minutes, seed=seed, device=device, precision=precision,
        deterministic=deterministic, evaluate_every=evaluate_every, metrics=metrics,
    )  # fmt: skip
    name = None if is_default else wanted.run_name(preset or Path(config or "").stem)
    return _start(
        wanted, run, name, force=force, stop=stop, reporter=reporter or _adapter(report, packing), world=world
    )


def _start(
    config: "RunConfig",
    path: PathLike | None,
    name: str | None,
    *,
    force: bool,
    stop: Callable[[], bool],
    reporter: Reporter,
    world: "World | None",
) -> "TrainedRun":
    """Train in a folder that does not exist yet, or is replaced.

    Without a path, it is a free one of the name, which is reserved; None: the default preset's, which is reported.
    """
    from ..config import DEFAULT_PRESET
    from ..storage.run_dir import RunDir, next_free
    from ..training.distributed import joined

    with nullcontext(world) if world else joined() as chosen:
        if not chosen.is_main:
            return _take_part(chosen, stop)
        if begun := _begun_before_restart(path):
            reporter.info(f"{begun}: torchrun has started this command again; the run continues")
            return resume(begun, stop=stop, reporter=reporter, world=chosen)
        own_name = name or config.run_name(DEFAULT_PRESET)
        with next_free(Path("runs"), own_name) if path is None else nullcontext(RunDir(Path(path))) as folder:
            options.load_torch()
            from ..training.trainer import TrainedRun, train

            reporter.begin_run(folder.path, is_new=True)
            notice = "" if name else f"preset {DEFAULT_PRESET}, the default; that of earlier versions is --preset dcgan"
            replaces = force and path is not None  # a free name replaces nothing
            finished = train(config, folder, reporter=reporter, stop=stop, force=replaces, world=chosen, notice=notice)
            return TrainedRun(folder.path, finished)


def _begun_before_restart(path: PathLike | None) -> Path | None:
    """Return the run that this command began before torchrun restarted it, if it did; a path of None: one of runs/."""
    from ..storage.atomic import json_object, read_regular
    from ..storage.run_status import MAX_SETTINGS
    from ..training.distributed import num_restarts, torchrun_launch

    if num_restarts() == "0":
        return None
    for folder in Path("runs").glob("*") if path is None else [Path(path)]:
        with suppress(OSError):
            recorded = json_object(read_regular(folder / "environment.json", MAX_SETTINGS)) or {}
            if recorded.get("launch") == torchrun_launch():
                return folder
    return None


Changes = Annotated[
    SettingsLike,
    Option("--set", metavar="SECTION.KEY=VALUE", help="A setting that counts from now on; repeatable."),
]

UNCHANGEABLE = (
    "cannot change in a run; learning rates, ema, augment, penalty, threads, precision, output and evaluation can, "
    "--data names images that moved, and --steps a new length. Start a new run for anything else"
)


def resume(
    run: Run = None,
    *,
    data: Annotated[
        PathLike | None, Option(metavar="SOURCE", help="Where the run's images are, if they moved.")
    ] = None,
    epochs: Epochs = None,
    kimg: Kimg = None,
    steps: Steps = None,
    settings: Changes = (),
    device: Device = None,
    evaluate_every: EvaluateEvery = None,
    metrics: TrainingMetrics = None,
    stop: Callable[[], bool] = lambda: False,
    reporter: Reporter | None = None,
    world: "World | None" = None,
) -> "TrainedRun":
    """Continue a run, or extend a finished one.

    --epochs, --kimg or --steps give a new total; without them a finished run is left as it is. --set changes learning
    rates, ema, augment, penalty, threads, precision, output and evaluation from now on; changes.jsonl records the step.
    All other settings would make it a different run.

    Raises:
        SnapshotError: There is no valid state, the images have changed, or another process is writing the run.
        ConfigError, PluginError, DataError, TrainingError: As in `train`, whose other parameters it shares.
    """
    from ..config import CHANGEABLE, named_layer
    from ..storage.run_dir import find_run
    from ..training.distributed import joined

    changes = options.check_settings(settings, CHANGEABLE, UNCHANGEABLE)
    flags = named_layer(
        data=data and str(data), epochs=epochs, kimg=kimg, steps=steps, evaluate_every=evaluate_every, metrics=metrics
    )
    found, reporter = find_run(run), reporter or Reporter()
    with nullcontext(world) if world else joined() as chosen:
        if not chosen.is_main:
            return _take_part(chosen, stop, finished=found.path)
        options.load_torch()
        from ..training import trainer

        reporter.begin_run(found.path, is_new=False)
        wanted = {part: {**flags.get(part, {}), **changes.get(part, {})} for part in {**flags, **changes}}
        ended = trainer.resume(found, wanted, device=device, reporter=reporter, stop=stop, world=chosen)
        if ended is None:
            unused = ", and only then does what you set count" if set(wanted) - {"data"} else ""
            extends = "--epochs, --kimg or --steps with a larger total extends it"
            reporter.info(f"{found.path}: finished already; {extends}{unused}")
        return trainer.TrainedRun(found.path, ended is not False)


def resolve_config(
    *, preset: str | None = None, config: PathLike | None = None, settings: SettingsLike = (), **named: Any
) -> "RunConfig":
    """Resolve the settings of a new run; `named` are the other parameters of `train` that are settings.

    Raises:
        ConfigError: A setting does not exist, has an invalid value, or excludes another.
    """
    from ..config import DEFAULT_PRESET, named_layer, refuse_idle_metrics, resolve

    preset = preset or (None if config else DEFAULT_PRESET)
    named |= {"data": named.get("data") and str(named["data"]), "deterministic": named.get("deterministic") or None}
    wanted = resolve(preset=preset, file=config, flags=named_layer(**named), settings=settings)
    refuse_idle_metrics(named.get("metrics"), wanted.evaluation.every)
    return wanted


def _take_part(world: "World", stop: Callable[[], bool], finished: Path = Path()) -> "TrainedRun":
    """Train in a run that rank 0 leads; `finished` is the run it resumes, which may need no more training."""
    from ..training.trainer import TrainedRun
    from ..training.worker import run_worker

    trained = run_worker(world, stop=stop)
    return TrainedRun(*trained) if trained else TrainedRun(finished, True)


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
