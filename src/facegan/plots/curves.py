"""Training curves of runs, from their metrics.jsonl."""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import __version__
from ..errors import SnapshotError
from ..messages import printable
from ..storage.atomic import write_atomic
from ..storage.run_dir import RunDir

ENDINGS = (".png", ".svg", ".pdf")
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#a16207", "#0e7490")
DRAWN = ("step", "loss/D", "loss/G", "score/real", "score/fake", "images_per_second")
MAX_VALUE = 1e100  # that can be drawn
BINS = 400  # longer curves are drawn as the averages over so many bins, above a pale band of their range


def plot_curves(runs: Sequence[RunDir]) -> Figure:
    """Plot losses, D(x) and D(G(z)) with the 0.5 line, spreads, and images per second over steps.

    With several runs, each has its own colour, and G's curves and those of generated images are dashed. There is no
    panel of spreads when no run has any.

    Raises:
        SnapshotError: A run has no metrics yet.
    """
    tables = [read_columns(run) for run in runs]
    has_spreads = any("spread/fake" in columns for columns in tables)
    heights = (3, 3, 2, 1.6) if has_spreads else (3, 3, 1.6)
    figure = Figure(figsize=(9, 1.3 * sum(heights)), layout="constrained")
    losses, scores, *spreads, speed = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    is_single = len(runs) == 1
    for number, (run, columns) in enumerate(zip(runs, tables, strict=True)):
        steps, label = columns["step"], "" if is_single else f"{literal(run.name)}: "
        real = {"color": COLOURS[number % len(COLOURS)]}
        fake = {"color": COLOURS[1]} if is_single else {**real, "linestyle": "--"}
        _curve(losses, steps, columns["loss/D"], label=f"{label}D", **real)
        _curve(losses, steps, columns["loss/G"], label=f"{label}G", **fake)
        if np.isfinite(columns["score/real"]).any():
            _curve(scores, steps, columns["score/real"], label=f"{label}D(x)", **real)
            _curve(scores, steps, columns["score/fake"], label=f"{label}D(G(z))", **fake)
        for axes in spreads if "spread/fake" in columns else ():
            known = np.isfinite(columns["spread/fake"])  # older versions wrote none
            _curve(axes, steps[known], columns["spread/real"][known], label=f"{label}images", **real)
            _curve(axes, steps[known], columns["spread/fake"][known], label=f"{label}fakes", **fake)
        _curve(speed, steps, columns["images_per_second"], label=label.rstrip(": ") or None, **real)
    losses.set_ylabel("loss")
    if not scores.lines:
        scores.text(0.5, 0.25, "not defined for this loss", ha="center", va="center", transform=scores.transAxes)
    scores.set(ylabel="probability of being real", ylim=(-0.02, 1.02))
    scores.axhline(0.5, color="#444444", linewidth=1, linestyle=":", label="0.5: D cannot tell")
    for axes in spreads:
        axes.set(ylabel="spread", ylim=(0, None))
    speed.set(ylabel="images/s", xlabel="step", ylim=(0, None))
    titles = ("Training losses", "What D believes", *("How much images differ" for _ in spreads), "Speed")
    for axes, title in zip((losses, scores, *spreads, speed), titles, strict=True):
        style_axes(axes, title)
        if axes.get_legend_handles_labels()[0]:
            legend_above(axes, columns=6 if is_single else 3)
    return figure


def save_arrays(run: RunDir, folder: Path) -> list[Path]:
    """Write d_losses.npy and g_losses.npy, float64 (num_ticks,), one value for each line of metrics.jsonl."""
    columns = read_columns(run)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {folder / "d_losses.npy": columns["loss/D"], folder / "g_losses.npy": columns["loss/G"]}
    for path, values in arrays.items():
        buffer = BytesIO()
        np.save(buffer, values)
        write_atomic(path, buffer.getvalue())
    return list(arrays)


def read_columns(run: RunDir) -> dict[str, np.ndarray]:
    """Read a run's numeric metrics as float64 columns of equal length; NaN where a line lacks one.

    Raises:
        SnapshotError: There are none yet.
    """
    records = [record for record in run.read_metrics() if "loss/D" in record]  # other lines only report an end
    if not records:
        raise SnapshotError(f"{run.metrics}: holds no metrics yet; train for a few steps first")
    others = [key for each in records for key, value in each.items() if isinstance(value, int | float)]
    keys = dict.fromkeys([*DRAWN, *others])
    return {key: np.array([_number(record.get(key)) for record in records], np.float64) for key in keys}


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure atomically; the ending is one of ENDINGS."""
    buffer = BytesIO()
    form = path.suffix[1:].lower()
    about = {"Software": f"facegan {__version__}"} if form == "png" else None
    with warnings.catch_warnings():  # its font lacks the characters of many languages, and draws boxes for them
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(buffer, format=form, dpi=100, metadata=about)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def literal(text: str) -> str:
    """Return text that matplotlib draws as it is, where it would take what is between two dollars for mathematics."""
    return printable(text).replace("$", r"\$")


def style_axes(axes: Axes, title: str) -> None:
    """Give axes a title and a pale grid, and remove the upper and right spines."""
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def legend_above(axes: Axes, *, columns: int) -> None:
    """Put the legend above the axes, on the right."""
    axes.legend(frameon=False, fontsize=9, ncols=columns, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < MAX_VALUE else np.nan


def _curve(axes: Axes, steps: np.ndarray, values: np.ndarray, *, color: str, **style: Any) -> None:
    if len(steps) > BINS:
        size = -(-len(steps) // BINS)  # of all bins but the last: unequal ones would look unequally noisy
        parts = np.split(np.arange(len(steps)), range(size, len(steps), size))
        low, high = (np.array([bound(values[part]) for part in parts]) for bound in (np.nanmin, np.nanmax))
        steps, values = (np.array([column[part].mean() for part in parts]) for column in (steps, values))
        axes.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)
    axes.plot(steps, values, color=color, linewidth=1.3, marker="." if len(steps) == 1 else None, **style)
