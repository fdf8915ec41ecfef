"""Metrics of models, or of any two sets of images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import ConfigError, DamagedError, DataError
from ..messages import nearest, quoted
from ..plugins import names
from ..reporter import SILENT, Reporter
from .options import Device, PathLike, Raw, SettingsLike

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..evaluation import Result


def evaluate(
    models: Annotated[
        list[PathLike] | None,
        Argument(
            metavar="[MODEL]...",
            help="Snapshot files, runs' folders, or their names under runs/; by default the latest run.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        Option(metavar="SOURCE", help="Real images; by default those that the model was trained on."),
    ] = None,
    *,
    real: Annotated[str | None, Option(metavar="SOURCE", help="Real images, with --fake, instead of a model.")] = None,
    fake: Annotated[str | None, Option(metavar="SOURCE", help="Images that are compared with --real.")] = None,
    metrics: Annotated[
        str | None,
        Option(metavar="KEYS", help="Metrics, separated by commas: swd,ms_ssim; by default all that can be measured."),
    ] = None,
    num: Annotated[
        int | None,
        Option(
            "-n",
            "--num",
            min=2,
            help="Evaluated images: the seeds 0 to N-1, by default 10,000; of --fake, by default all.",
        ),
    ] = None,
    num_real: Annotated[int, Option(min=0, help="Real images at most, drawn at random; 0: all.")] = 50_000,
    settings: Annotated[
        SettingsLike,
        Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the real images (data.split=heldout), or of a metric's protocol (METRIC.SETTING=...); "
            "repeatable.",
        ),
    ] = (),
    resolution: Annotated[
        int | None,
        Option(min=16, max=1024, help="Resize --real and --fake to this size; by default they have one size."),
    ] = None,
    every_snapshot: Annotated[bool, Option("--every-snapshot", help="Evaluate each snapshot of the runs.")] = False,
    raw: Raw = False,
    weights: Annotated[PathLike | None, Option(help="A file of Inception's weights, if it is elsewhere.")] = None,
    floor: Annotated[
        bool, Option("--floor/--no-floor", help="Measure real images against real ones, too, as a yardstick.")
    ] = True,
    plot: Annotated[
        PathLike | None, Option(help="Draw the proportions of attributes, of one model, into a .png, .svg or .pdf.")
    ] = None,
    seed: Annotated[int, Option(min=0, help="Seed of every random choice, except for the faces.")] = 0,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> "Iterator[list[Result]]":
    """Measure how good generated faces are.

    Each value comes with its 95 % interval, with real images against real ones as a yardstick, and with all that it
    depends on. A model is compared with the images that it was trained on, or with --data. With --real and --fake, any
    two sources of images are compared. Results of a run are added to its evaluations.jsonl; facegan plot --metric draws
    them over steps.

    Returns:
        An iterator over the results of each model; those of a run are saved when the next ones are asked for.
    """
    models = list(models or [])
    keys = _parse_keys(metrics)
    figure = None if plot is None else Path(plot)
    if figure is not None:
        _check_plot(figure, keys, len(models), every_snapshot)
    if num_real == 1:
        raise ConfigError("--num-real 1: give at least 2, or 0 for all")

    from ..evaluation import make_evaluator, record
    from ..evaluation.evaluate import check_forms

    check_forms(bool(models) or data is not None or every_snapshot or raw, real, fake, resolution)
    evaluator = make_evaluator(
        keys, settings, num_fake=num, num_real=num_real, seed=seed, raw=raw, floor=floor, weights=weights,
        device=device, reporter=reporter,
    )  # fmt: skip
    results: list[Result] = []
    if real is not None and fake is not None:
        results = evaluator.evaluate_sources(real, fake, resolution=resolution)
        yield results
    else:
        for checkpoint in _checkpoints(models, every_snapshot, reporter):
            results = evaluator.evaluate_checkpoint(checkpoint, data)
            yield results
            record(checkpoint, results)
    if figure is not None:
        _draw(figure, results, reporter)


def _check_plot(plot: Path, keys: list[str] | None, num_models: int, every: bool) -> None:
    """Refuse a plot of attributes where there will be none, or more than one; raises ConfigError."""
    from ..images import check_ending
    from ..plots import ENDINGS

    check_ending(plot, ENDINGS, option="--plot")
    if keys is not None and "attributes" not in keys:
        raise ConfigError(f"--plot {plot}: draws the metric attributes; add it to --metrics")
    if num_models > 1 or every:
        raise ConfigError(f"--plot {plot}: takes one model; call it once for each")


def _draw(plot: Path, results: "list[Result]", reporter: Reporter) -> None:
    """Draw the proportions of attributes; raises DataError where they could not be measured."""
    from ..plots import save_attributes

    found = next((each for each in results if each.metric == "attributes"), None)
    if found is None:
        raise DataError(f"--plot {plot}: attributes were not measured; nothing was drawn")
    save_attributes(found.details["attributes"], plot, title=f"Attributes of {found.subject}")
    reporter.info(f"{plot}: attributes of {found.subject}")


def _parse_keys(text: str | None) -> list[str] | None:
    """Return the metrics that --metrics names, each once; None: all."""
    if text is None or text.strip() == "all":
        return None
    keys = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    known = names("metric")
    if not keys:
        raise ConfigError(f"--metrics {quoted(text)}: names none; there is: {', '.join(known)}")
    for key in keys:
        if key not in known:
            raise ConfigError(f"--metrics {text}: there is no {quoted(key)}; {nearest(key, known)}")
    return keys


def _checkpoints(models: list[PathLike], every: bool, reporter: Reporter) -> "Iterator[Checkpoint]":
    """Open the newest valid snapshot of each model, or every valid one, when it is its turn."""
    from ..checkpoint import Checkpoint, find_checkpoint
    from ..storage.run_dir import find_run

    names: Sequence[PathLike | None] = models or [None]
    runs = [None if name is not None and Path(name).is_file() else find_run(name) for name in names]
    for name, run in zip(names, runs, strict=True):
        if run is None and every:
            raise ConfigError(f"--every-snapshot: takes runs ({name} is a file)")
    for name, run in zip(names, runs, strict=True):
        newest = find_checkpoint(name, reporter=reporter)  # refuses a run that has no valid one
        earlier = [run.snapshot(step) for step in run.steps("snapshots") if step < newest.step] if run and every else []
        for snapshot in earlier:
            try:
                yield Checkpoint.open(snapshot)
            except DamagedError as error:
                reporter.warning(f"{error}; left out")
        yield newest
