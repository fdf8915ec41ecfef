"""`facegan plot`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, print_json

if TYPE_CHECKING:
    from ..storage.run_dir import RunDir


def plot(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs, overlaid; by default the latest.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A .png, .svg or .pdf file.")] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="KEY", help="Draw a metric of evaluations.jsonl over steps; can be repeated."),
    ] = None,
    arrays: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write d_losses.npy and g_losses.npy into this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw losses, D(x), D(G(z)) and speed, or metrics over steps.

    Metrics, named with --metric, are what facegan evaluate has found, or training with --evaluate-every.
    A metric's latest values by its newest protocol are joined, in a band of their 95 % intervals; real images against
    real ones are dotted.
    """
    from ..errors import ConfigError
    from ..images import check_ending
    from ..plots import ENDINGS, save_arrays, save_curves
    from ..storage.run_dir import find_run

    if out is not None:
        check_ending(out, ENDINGS)
    found = [find_run(name) for name in runs] if runs else [find_run(None)]
    if arrays is not None and len(found) > 1:
        raise ConfigError(f"--arrays {arrays}: takes one run (given: {len(found)}); call it once for each")
    if metrics:
        if arrays is not None:
            raise ConfigError(f"--arrays {arrays}: is of losses, not of --metric; call it once for each")
        out = out or Path("metrics.png")
        _save_metrics(found, list(dict.fromkeys(metrics)), out)
        print_json({"files": [str(out)]}) if as_json else print(out)
        return
    if out is None and arrays is None:
        out = found[0].path / "losses.png" if len(found) == 1 else Path("curves.png")
    written = []
    if out is not None:
        save_curves(found, out)
        written.append(out)
    if arrays is not None:
        written += save_arrays(found[0], arrays)
    if as_json:
        print_json({"files": [str(path) for path in written]})
    else:
        print(*written, sep="\n")


def _save_metrics(runs: "Sequence[RunDir]", metrics: list[str], out: Path) -> None:
    """Draw metrics over steps; says what is left out, and what is not alike."""
    from ..plots import protocol_difference, read_metric, save_metrics
    from .console import console

    panels = [[read_metric(run, metric) for run in runs] for metric in metrics]
    for metric, curves in zip(metrics, panels, strict=True):
        for each in curves:
            if each.num_left_out:
                what = f"values of another protocol, left out: {each.num_left_out:,}"
                console().print(f"{each.label}: {metric}: {what} (step {each.why})", markup=False)
        if difference := protocol_difference(curves):
            console().print(f"{metric}: the runs were not measured alike ({difference})", markup=False)
    save_metrics(panels, out)
