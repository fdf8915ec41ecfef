"""`facegan evaluate`."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, DamagedError, DataError, FaceganError
from ..messages import nearest, quoted
from ..plugins import names
from ..reporter import Reporter
from .options import Device, Json, find_snapshot, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..evaluation import Evaluator, Result


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Snapshot files, runs' folders, or their names under runs/; by default the latest run.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--data", metavar="SOURCE", help="Real images; by default those that the model was trained on."),
    ] = None,
    real: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Real images, with --fake, instead of a model.")
    ] = None,
    fake: Annotated[str | None, typer.Option(metavar="SOURCE", help="Pictures that are judged by --real.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="KEYS", help="Which metrics, with commas: swd,ms_ssim; by default all that can be measured."
        ),
    ] = None,
    num: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--num",
            min=2,
            help="Judged images: the seeds 0 to N-1, by default 10,000; of --fake, by default all.",
        ),
    ] = None,
    num_real: Annotated[int, typer.Option(min=0, help="Real images at most, drawn at random; 0: all.")] = 50_000,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the real images (data.split=heldout), or of a metric's protocol (METRIC.SETTING=...); "
            "can be repeated.",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(min=16, max=1024, help="Bring --real and --fake to this size; by default they have one."),
    ] = None,
    every: Annotated[bool, typer.Option("--every-snapshot", help="Judge each snapshot of the runs.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The current weights instead of their moving average.")] = False,
    weights: Annotated[Path | None, typer.Option(help="A file of Inception's weights, if it is elsewhere.")] = None,
    floor: Annotated[
        bool, typer.Option("--floor/--no-floor", help="Measure real images against real ones, too, as a yardstick.")
    ] = True,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the proportions of attributes, of one model, into a .png, .svg or .pdf.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn at random, but for the faces.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measure how good generated faces are.

    Each value comes with its 95 % interval, with real images against real ones as a yardstick, and with all that it
    depends on. A model is held against the images that it was trained on, or --data. With --real and --fake, any two
    sources of images are compared. Results of a run are added to its evaluations.jsonl; facegan plot --metric draws
    them over steps.
    """
    keys = _keys(metrics)
    if plot is not None:
        _check_plot(plot, keys, len(models or []), every)
    if num_real == 1:
        raise ConfigError("--num-real 1: give at least 2, or 0 for all")

    from ..devices import resolve_device
    from ..evaluation import Evaluator
    from ..evaluation.evaluate import check_forms, choose_metrics, read_settings
    from .console import ByteProgress
    from .evaluations import tell_results

    check_forms(bool(models) or source is not None or every or raw, real, fake, resolution)
    options, of_metrics = read_settings(settings or [])
    if real is None and options.channels is not None:
        raise ConfigError("--set channels: is for --real A --fake B; a model has its own")
    with ByteProgress() as transfers, _Console(transfers.show) as reporter:
        metric_models = choose_metrics(keys, of_metrics, reporter)
        options = replace(
            options, num_fake=num, num_real=num_real, seed=seed, raw=raw, floor=floor, weights=weights,
            device=str(resolve_device(device or "auto")),
        )  # fmt: skip
        evaluator = Evaluator(metric_models, options, reporter=reporter)
        if real is not None and fake is not None:
            judged, failure = [evaluator.evaluate_sources(real, fake, resolution=resolution)], None
        else:
            judged, failure = _judge(evaluator, _snapshots(models or [], every), source)
    if as_json:
        print_json({"results": [result.line() for results in judged for result in results], "remarks": reporter.lines})
    else:
        tell_results(judged)
    if failure:
        raise failure
    if plot is not None:
        _draw(plot, judged[0])


def _check_plot(plot: Path, keys: list[str] | None, num_models: int, every: bool) -> None:
    """Refuse a plot of attributes where there will be none, or more than one."""
    from ..images import check_ending
    from ..plots import ENDINGS

    check_ending(plot, ENDINGS, option="--plot")
    if keys is not None and "attributes" not in keys:
        raise ConfigError(f"--plot {plot}: draws the metric attributes; add it to --metrics")
    if num_models > 1 or every:
        raise ConfigError(f"--plot {plot}: takes one model; call it once for each")


def _draw(plot: Path, results: "list[Result]") -> None:
    """Draw the proportions of attributes; raises DataError where they could not be measured."""
    from ..plots import save_attributes
    from .console import console

    found = next((each for each in results if each.metric == "attributes"), None)
    if found is None:
        raise DataError(f"--plot {plot}: attributes were not measured, as was said; nothing was drawn")
    save_attributes(found.details["attributes"], plot, title=f"Attributes of {found.subject}")
    console().print(f"{plot}: attributes of {found.subject}", markup=False)


def _judge(
    evaluator: "Evaluator", snapshots: list[Path], source: str | None
) -> "tuple[list[list[Result]], FaceganError | None]":
    """Judge snapshots and record each one's results at once; a failure after the first is returned, not raised."""
    from ..checkpoint import Checkpoint
    from ..evaluation import record

    judged: list[list[Result]] = []
    for snapshot in snapshots:
        try:
            checkpoint = Checkpoint.open(snapshot)
            judged.append(evaluator.evaluate_checkpoint(checkpoint, source))
            record(checkpoint, judged[-1])
        except FaceganError as error:
            if not judged:
                raise
            return judged, error
    return judged, None


def _keys(text: str | None) -> list[str] | None:
    """The metrics that --metrics names, each once; None: all."""
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


def _snapshots(models: list[str], every: bool) -> list[Path]:
    """The newest snapshot of each model, or every whole one."""
    if not every:
        return [find_snapshot(model) for model in models or (None,)]
    from ..storage.run_dir import find_run
    from ..storage.safetensors_file import verify
    from .console import console

    found = []
    for model in models or (None,):
        if model is not None and Path(model).is_file():
            raise ConfigError(f"--every-snapshot: takes runs ({model} is a file)")
        run = find_run(model)
        newest = find_snapshot(str(run.path))  # refuses a run that has no whole one
        for step in run.steps("snapshots"):
            try:
                verify(run.snapshot(step))
                found.append(run.snapshot(step))
            except DamagedError as error:
                if run.snapshot(step) < newest:  # of those after it, the look for the newest has told
                    console().print(f"{error}; left out", markup=False)
    return found


class _Console(Reporter):
    """Lines on stderr, each once, and one progress after the other."""

    def __init__(self, transfer: "Callable[[str, int, int | None], None]") -> None:
        self.lines: list[str] = []
        self._transfer, self._task, self._done, self._shown = transfer, "", 0, ExitStack()

    def __enter__(self) -> "_Console":
        return self

    def __exit__(self, *error: Any) -> None:
        self._shown.__exit__(*error)

    def info(self, line: str) -> None:
        from .console import console

        if line not in self.lines:
            self.lines.append(line)
            console().print(line, markup=False)

    def progress(self, task: str, done: int, total: int | None, *, unit: str = "images", **_: Any) -> None:
        from .counting import counting

        if unit == "bytes":
            self._transfer(task, done, total)
            return
        if task != self._task or done < self._done:
            self._shown.close()
            self._task, self._show = task, self._shown.enter_context(counting(task))
        self._done = done
        self._show(done, total or 0)
