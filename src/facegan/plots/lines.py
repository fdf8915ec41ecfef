"""Curves of runs, from their metrics.jsonl."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import SnapshotError
from ..storage.atomic import write_atomic
from ..storage.run_dir import RunDir

ENDINGS = (".png", ".svg", ".pdf")
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#a16207", "#0e7490")
DRAWN = ("step", "loss/D", "loss/G", "score/real", "score/fake", "images_per_second")
LARGEST = 1e100  # of what can be drawn
BINS = 400  # a curve of more points is drawn as their averages over so many bins, above a pale band of their range


def curves(runs: Sequence[RunDir]) -> Figure:
    """Four panels over steps: "Training losses", D(x) and D(G(z)) with the 0.5 line, spreads, and images per second.

    D's curves and the images' are solid, G's and the fakes' dashed; each run has a colour of its own when there are
    several. There is no panel of spreads when no run has any.

    Raises:
        SnapshotError: A run has no metrics yet.
    """
    tables = [read_columns(run) for run in runs]
    has_spreads = any("spread/fake" in columns for columns in tables)
    heights = (3, 3, 2, 1.6) if has_spreads else (3, 3, 1.6)
    figure = Figure(figsize=(9, 1.3 * sum(heights)), layout="constrained")
    losses, scores, *spreads, speed = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for number, (run, columns) in enumerate(zip(runs, tables, strict=True)):
        steps, label = columns["step"], f"{run.path.name}: " if len(runs) > 1 else ""
        first = COLOURS[number % len(COLOURS)]
        second = first if len(runs) > 1 else COLOURS[1]
        _curve(losses, steps, columns["loss/D"], f"{label}D", first)
        _curve(losses, steps, columns["loss/G"], f"{label}G", second, dashed=len(runs) > 1)
        _curve(scores, steps, columns["score/real"], f"{label}D(x)", first)
        _curve(scores, steps, columns["score/fake"], f"{label}D(G(z))", second, dashed=len(runs) > 1)
        for axes in spreads if "spread/fake" in columns else ():
            known = np.isfinite(columns["spread/fake"])  # a run that an older version began has none at first
            _curve(axes, steps[known], columns["spread/real"][known], f"{label}images", first)
            _curve(axes, steps[known], columns["spread/fake"][known], f"{label}fakes", second, dashed=len(runs) > 1)
        _curve(speed, steps, columns["images_per_second"], label.rstrip(": ") or None, first)
    losses.set_ylabel("loss")
    scores.set(ylabel="probability of being real", ylim=(-0.02, 1.02))
    scores.axhline(0.5, color="#444444", linewidth=1, linestyle=":", label="0.5: D cannot tell")
    for axes in spreads:
        axes.set(ylabel="spread", ylim=(0, None))
    speed.set(ylabel="images/s", xlabel="step", ylim=(0, None))
    titles = ("Training losses", "What D believes", *("How much images differ" for _ in spreads), "Speed")
    for axes, title in zip((losses, scores, *spreads, speed), titles, strict=True):
        axes.set_title(title, loc="left")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            beside = 6 if len(runs) == 1 else 3
            axes.legend(frameon=False, fontsize=9, ncols=beside, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    return figure


def save_curves(runs: Sequence[RunDir], path: Path) -> None:
    """Draw `curves` into a file, whole or not at all; its ending is one of ENDINGS."""
    buffer = BytesIO()
    curves(runs).savefig(buffer, format=path.suffix[1:].lower(), dpi=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def save_arrays(run: RunDir, folder: Path) -> list[Path]:
    """Write d_losses.npy and g_losses.npy, float64 (num_ticks,), one value a line of metrics.jsonl."""
    columns = read_columns(run)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, key in (("d_losses", "loss/D"), ("g_losses", "loss/G")):
        buffer = BytesIO()
        np.save(buffer, columns[key])
        write_atomic(folder / f"{name}.npy", buffer.getvalue())
        written.append(folder / f"{name}.npy")
    return written


def read_columns(run: RunDir) -> dict[str, np.ndarray]:
    """The metrics of a run that are numbers, as float64 columns of equal length; NaN where a line lacks one.

    Raises:
        SnapshotError: There are none yet.
    """
    records = [record for record in run.read_metrics() if "loss/D" in record]  # a line may tell of an end alone
    if not records:
        raise SnapshotError(f"{run.metrics}: holds no metrics yet; train for a few steps first")
    others = [key for each in records for key, value in each.items() if isinstance(value, int | float)]
    keys = dict.fromkeys([*DRAWN, *others])
    return {key: np.array([_number(record.get(key)) for record in records], np.float64) for key in keys}


def _number(value: object) -> float:
    """A value of a record as a number; a gap where it is none, or too large for an axis."""
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST else np.nan


def _curve(
    axes: Axes, steps: np.ndarray, values: np.ndarray, label: str | None, colour: str, *, dashed: bool = False
) -> None:
    if len(steps) > BINS:
        size = -(-len(steps) // BINS)  # of all bins but the last: unequal ones would look unequally noisy
        parts = np.split(np.arange(len(steps)), range(size, len(steps), size))
        low, high = (np.array([bound(values[part]) for part in parts]) for bound in (np.nanmin, np.nanmax))
        steps, values = (np.array([column[part].mean() for part in parts]) for column in (steps, values))
        axes.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)
    style = "--" if dashed else "-"
    marker = "." if len(steps) == 1 else None
    axes.plot(steps, values, color=colour, label=label, linewidth=1.3, linestyle=style, marker=marker)
