"""Metrics of models, or of any two sets of images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import ConfigError, DamagedError, DataError
from ..reporter import SILENT, Reporter
from .options import Device, PathLike, Raw, SettingsLike

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..evaluation import Result

Models = Annotated[
    list[PathLike] | None,
    Argument(
        metavar="[MODEL]...",
        help="Snapshot files, runs' folders, or their names under runs/; by default the latest run.",
    ),
]
Data = Annotated[
    str | None, Option(metavar="SOURCE", help="Real images; by default those that the model was trained on.")
]
Real = Annotated[str | None, Option(metavar="SOURCE", help="Real images, with --fake, instead of a model.")]
Fake = Annotated[str | None, Option(metavar="SOURCE", help="Images that are compared with --real.")]
Metrics = Annotated[
    str | None,
    Option(metavar="KEYS", help="Metrics, separated by commas: swd,ms_ssim; by default all that can be measured."),
]
NumFake = Annotated[
    int | None,
    Option(
        "-n", "--num", min=2, help="Evaluated images: the seeds 0 to N-1, by default 10,000; of --fake, by default all."
    ),
]
NumReal = Annotated[int, Option(min=0, help="Real images at most, drawn at random; 0: all.")]
Settings = Annotated[
    SettingsLike,
    Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the real images (data.split=heldout), or of a metric's protocol (METRIC.SETTING=...); "
        "repeatable.",
    ),
]
Size = Annotated[
    int | None,
    Option(min=16, max=1024, help="Resize --real and --fake to this size; by default they have one size."),
]
EverySnapshot = Annotated[bool, Option("--every-snapshot", help="Evaluate each snapshot of the runs.")]
Weights = Annotated[PathLike | None, Option(help="A file of Inception's weights, if it is elsewhere.")]
Floor = Annotated[
    bool, Option("--floor/--no-floor", help="Measure real images against real ones, too, as a yardstick.")
]
Plot = Annotated[
    PathLike | None, Option(help="Draw the proportions of attributes, of one model, into a .png, .svg or .pdf.")
]
Seed = Annotated[int, Option(min=0, help="Seed of every random choice, except for the faces.")]


def evaluate(
    models: Models = None,
    data: Data = None,
    *,
    real: Real = None,
    fake: Fake = None,
    metrics: Metrics = None,
    num: NumFake = None,
    num_real: NumReal = 50_000,
    settings: Settings = (),
    resolution: Size = None,
    every_snapshot: EverySnapshot = False,
    raw: Raw = False,
    weights: Weights = None,
    floor: Floor = True,
    plot: Plot = None,
    seed: Seed = 0,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> "Iterator[list[Result]]":
    """Measure how good generated faces are.

    Each value comes with a 95 % confidence interval of its mean over sets of as many faces, with real images against
    real ones as a yardstick, and with all that it depends on. A model is compared with the images that it was trained
    on, or with --data. With --real and --fake, any two sources of images are compared. Results of a run are added to
    its evaluations.jsonl; facegan plot --metric draws them over steps.

    Returns:
        An iterator over the results of each model; those of a run are saved when the next ones are asked for.
    """
    keys = None if metrics in (None, "all") else [key.strip() for key in str(metrics).split(",") if key.strip()]
    if plot is not None:
        _check_plot(Path(plot), keys, is_one=len(models or [0]) == 1 and not every_snapshot)

    from ..evaluation import check_forms, make_evaluator, record

    check_forms(bool(models or data is not None or every_snapshot or raw), real, fake, resolution)
    evaluator = make_evaluator(
        keys, settings, num_fake=num, num_real=num_real, seed=seed, raw=raw, floor=floor, weights=weights,
        device=device, reporter=reporter,
    )  # fmt: skip
    if real is not None and fake is not None:
        yield (results := evaluator.evaluate_sources(real, fake, resolution=resolution))
    else:
        for checkpoint in _checkpoints(models or [None], every_snapshot, reporter):
            yield (results := evaluator.evaluate_checkpoint(checkpoint, data))
            record(checkpoint, results)
    if plot is not None:
        _draw(Path(plot), results, reporter)


def _check_plot(plot: Path, keys: list[str] | None, *, is_one: bool) -> None:
    """Refuse a plot of attributes where there will be none, or more than one; raises ConfigError."""
    from ..images import check_ending
    from ..plots import ENDINGS

    check_ending(plot, ENDINGS, option="--plot")
    if keys is not None and "attributes" not in keys:
        raise ConfigError(f"--plot {plot}: draws the metric attributes; add it to --metrics")
    if not is_one:
        raise ConfigError(f"--plot {plot}: takes one model; call it once for each")


def _draw(plot: Path, results: "list[Result]", reporter: Reporter) -> None:
    """Draw the proportions of attributes; raises DataError where they could not be measured."""
    from ..plots import plot_attributes, save_figure

    found = next((each for each in results if each.metric == "attributes"), None)
    if found is None:
        raise DataError(f"--plot {plot}: attributes were not measured; nothing was drawn")
    figure = plot_attributes(found.details["attributes"], title=f"Attributes of {found.subject}")
    save_figure(figure, plot)
    reporter.info(f"{plot}: attributes of {found.subject}")


def _checkpoints(names: Sequence[PathLike | None], every: bool, reporter: Reporter) -> "Iterator[Checkpoint]":
    """Open the newest valid snapshot of each model, or every valid one, when it is its turn."""
    from ..checkpoint import Checkpoint, find_checkpoint
    from ..storage.run_dir import find_run

    runs = [None if name is not None and Path(name).is_file() else find_run(name) for name in names]
    if every and None in runs:
        raise ConfigError(f"--every-snapshot: takes runs ({names[runs.index(None)]} is a file)")
    for name, run in zip(names, runs, strict=True):
        newest = find_checkpoint(name, reporter=reporter)  # refuses a run that has no valid one
        earlier = [run.snapshot(step) for step in run.steps("snapshots") if step < newest.step] if run and every else []
        for snapshot in earlier:
            try:
                yield Checkpoint.open(snapshot)
            except DamagedError as error:
                reporter.warning(f"{error}; left out")
        yield newest
