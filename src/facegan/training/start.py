"""Training from Python: `facegan.train` takes what `facegan train` takes, by the same names."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import load_generator
from ..config import named_layer, refuse_idle_metrics, resolve
from ..generator import FaceGenerator
from ..storage.best_snapshot import best_snapshot
from ..storage.run_dir import RunDir, next_free
from ..storage.run_status import read_run_config
from .distributed import joined
from .loop import Report, Stop
from .trainer import Packing
from .trainer import train as train_in
from .worker import follow


@dataclass(frozen=True)
class TrainedRun:
    """A run and what came of it.

    Attributes:
        path: Its folder; `facegan resume`, `sample`, `plot` and the others take it.
        finished: Whether it reached its end; False when `stop` ended it before.
    """

    path: Path
    finished: bool

    @property
    def snapshot(self) -> Path:
        """Its newest snapshot file, which alone is enough to draw faces."""
        newest = RunDir(self.path).latest("snapshots")
        assert newest is not None, "a run that ended has one"
        return newest

    @property
    def best_snapshot(self) -> Path | None:
        """The snapshot file that evaluations during training found best; None: there were none that say so."""
        run = RunDir(self.path)
        config, _ = read_run_config(run)
        found = best_snapshot(run, config.evaluation) if config else None
        return found.path if found else None

    def generator(self, *, raw: bool = False, device: str | torch.device = "cpu") -> FaceGenerator:
        """G of its newest snapshot; arguments and errors as of `load_generator`."""
        return load_generator(self.snapshot, raw=raw, device=device)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: `step`, `loss/D`, `loss/G`, `score/real`, `score/fake` and more, one a tick."""
        return list(RunDir(self.path).read_metrics())


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
    report: Report = lambda _: None,
    packing: Packing | None = None,
    stop: Stop = lambda: False,
    force: bool = False,
) -> TrainedRun:
    """Train a generator of faces in a new run folder; it prints nothing.

    Args:
        data: `drawn` (the built-in faces; the default), a downloaded dataset's name, a folder, an archive, parquet.
        run: The run's folder; by default runs/DATA-PRESET-NUMBER in the current folder. One that exists is refused.
        preset: A named set of settings.
        config: A .toml or .json file of settings; they win over the preset's.
        settings: Any setting by `section.key`, as `{"architecture.ngf": 32}`; they win over all others.
        resolution: Side of the images in pixels: 16, 32, 64, 128, 256.
        batch_size: Images a step.
        epochs: Length in passes over the images.
        kimg: Length in thousands of real images shown, instead of epochs.
        steps: Length in updates of G, instead of epochs.
        seed: What weights, data order and noise are drawn from.
        device: auto, cpu, cuda, cuda:1 or mps.
        evaluate_every: Measure the faces every so many steps, and keep the best snapshot; 0: never.
        metrics: What is measured then: names separated by commas, such as `fd_random`.
        report: Called with `Progress` at each tick, and with lines worth reading; `print` will do.
        packing: Called with (done, total) while the images are packed for the first time.
        stop: Asked after each step; True saves and ends, and `facegan resume` goes on. Where torchrun has started
            several processes, that of any of them.
        force: Move an existing `run` aside instead of refusing it.

    Returns:
        The run.

    Raises:
        ConfigError, PluginError, DataError, SnapshotError: Refused before anything was written.
        TrainingError: No room on the disk, or a loss that is not finite.
    """
    flags = named_layer(
        data=None if data is None else str(data), seed=seed, resolution=resolution, batch_size=batch_size,
        epochs=epochs, kimg=kimg, steps=steps, device=device, evaluate_every=evaluate_every, metrics=metrics,
    )  # fmt: skip
    wanted = resolve(preset=preset, file=config, flags=flags, settings=settings)
    refuse_idle_metrics(metrics, wanted.evaluation.every)
    if run is None:  # the name is taken at once, so that no other run takes it
        name = wanted.run_name(preset or (Path(config).stem if config else "dcgan"))
        place: AbstractContextManager[RunDir] = next_free(Path("runs"), name)
    else:
        place = nullcontext(RunDir(Path(run)))
    with joined() as world:
        if not world.leads:
            followed = follow(world, stop=stop)
            assert followed is not None, "rank 0 trains, or fails"
            return TrainedRun(*followed)
        with place as folder:
            ended = train_in(
                wanted, folder, report=report, packing=packing, stop=stop, force=force and run is not None, world=world
            )
    return TrainedRun(folder.path, ended)
