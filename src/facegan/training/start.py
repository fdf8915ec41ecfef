"""Training from Python: `facegan.train` takes what `facegan train` takes, by the same names."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import named_layer, refuse_idle_metrics, resolve
from ..reporter import Callbacks
from ..storage.run_dir import RunDir, next_free
from .distributed import joined
from .trainer import Stop, TrainedRun
from .trainer import train as train_in
from .worker import run_worker


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a run at a tick; `metrics` is the line just written to metrics.jsonl."""

    step: int
    num_steps: int
    metrics: dict[str, Any]


def train(
    data: str | Path | None = None,
    run: str | Path | None = None,
    *,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | Iterable[str] = (),
    resolution: int | None = None,
    batch_size: int | None = None,
    epochs: float | None = None,
    kimg: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    evaluate_every: int | None = None,
    metrics: str | None = None,
    report: Callable[[TrainingProgress | str], None] = lambda _: None,
    packing: Callable[[int, int], None] | None = None,
    stop: Stop = lambda: False,
    force: bool = False,
) -> TrainedRun:
    """Train a generator of faces in a new run folder; it prints nothing.

    Args:
        data: `drawn` (the built-in faces; the default), a downloaded dataset's name, a folder, an archive, parquet.
        run: The run's folder; by default runs/DATA-PRESET-NUMBER in the current folder. An existing one is refused.
        preset: A named set of settings.
        config: A .toml or .json file of settings; they override the preset's.
        settings: Any setting by `section.key`, as `{"architecture.ngf": 32}`; they override all others.
        resolution: Side of the images in pixels: 16, 32, 64, 128, 256.
        batch_size: Images a step.
        epochs: Length in passes over the images.
        kimg: Length in thousands of real images shown, instead of epochs.
        steps: Length in updates of G, instead of epochs.
        seed: Determines weights, data order and noise.
        device: auto, cpu, cuda, cuda:1 or mps.
        evaluate_every: Steps between evaluations, which keep the best snapshot; 0: none.
        metrics: The metrics of evaluations: names separated by commas, such as `fd_random`.
        report: Called with `TrainingProgress` at each tick, and with lines; `print` works.
        packing: Called with (done, total) while the images are packed for the first time.
        stop: Asked after each step; True saves and ends, and `facegan resume` continues. With several processes of
            torchrun, that of any of them counts.
        force: Move an existing `run` aside instead of refusing it.

    Returns:
        The run.

    Raises:
        ConfigError, PluginError, DataError, SnapshotError: Refused before anything was written.
        TrainingError: The disk is full, or a loss is not finite.
    """
    flags = named_layer(
        data=None if data is None else str(data), seed=seed, resolution=resolution, batch_size=batch_size,
        epochs=epochs, kimg=kimg, steps=steps, device=device, evaluate_every=evaluate_every, metrics=metrics,
    )  # fmt: skip
    wanted = resolve(preset=preset, file=config, flags=flags, settings=settings)
    refuse_idle_metrics(metrics, wanted.evaluation.every)
    if run is None:  # the name is reserved immediately, so that no other run takes it
        name = wanted.run_name(preset or (Path(config).stem if config else "dcgan"))
        place: AbstractContextManager[RunDir] = next_free(Path("runs"), name)
    else:
        place = nullcontext(RunDir(Path(run)))
    reporter = Callbacks(
        line=report,
        progress={"packing": packing} if packing else None,
        metrics=lambda step, num_steps, line: report(TrainingProgress(step, num_steps, dict(line))),
    )
    with joined() as world:
        if not world.is_main:
            trained = run_worker(world, stop=stop)
            assert trained is not None, "rank 0 trains, or fails"
            return TrainedRun(*trained)
        with place as folder:
            finished = train_in(
                wanted, folder, reporter=reporter, stop=stop, force=force and run is not None, world=world
            )
    return TrainedRun(folder.path, finished)
