"""Metrics over steps, from the evaluations.jsonl of runs, and bars of the attributes of real and generated faces."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from pydantic import BaseModel, Field

from ..errors import SnapshotError
from ..messages import nearest, quoted
from ..storage.run_dir import RunDir
from ..storage.run_log import read_evaluations
from .curves import COLOURS, MAX_VALUE, legend_above, literal, style_axes

NOT_COMPARED = ("seed", "device")  # of a protocol: with other ones, a metric estimates the same number
LOG_RATIO = 20.0  # values farther apart than this are drawn on a logarithmic axis
BETTER = {"lower": "lower is better", "higher": "higher is better", "nearer": "nearer to real is better"}

REAL_COLOUR, FAKE_COLOUR = "#94a3b8", "#c2410c"
MAX_ATTRIBUTES = 40
BAR = 0.38  # height of a bar, where two and a gap take 1
ROW_INCHES, MARGIN_INCHES = 0.3, 1.3  # an attribute; above and below the bars

Finite = Field(allow_inf_nan=False, ge=-MAX_VALUE, le=MAX_VALUE)


class _Floor(BaseModel):
    value: float = Finite
    num_real: int
    num_fake: int


class MetricValue(BaseModel, frozen=True):
    """The fields of a line of evaluations.jsonl that a plot needs."""

    metric: str
    title: str
    better: str = ""
    step: int = Field(ge=0)
    value: float = Finite
    interval: tuple[float, float] | None = None
    num_real: int
    num_fake: int
    floor: _Floor | None = None
    weights: str | None = None
    protocol: dict[str, Any]
    digests: dict[str, str] = {}

    def conditions(self) -> dict[str, str]:
        """Return everything that two comparable values have in common, in words, by name."""
        protocol = {key: str(value) for key, value in self.protocol.items() if key not in NOT_COMPARED}
        counts = {"evaluated images": f"{self.num_fake:,}", "real images": f"{self.num_real:,}"}
        others = {"weights": str(self.weights), "extractor": self.digests.get("extractor", "")}
        return {**protocol, **counts, "real": self.digests.get("real", ""), **others}

    def drawn(self) -> list[float]:
        """Return the value, the bounds of its interval, and the floor."""
        return [self.value, *(self.interval or ()), *([self.floor.value] if self.floor else ())]


@dataclass(frozen=True)
class MetricCurve:
    """One metric of one run over its steps, all by one protocol."""

    label: str  # the run's name
    points: Sequence[MetricValue]  # one for each step, ascending
    num_left_out: int = 0  # lines of the metric with another protocol
    why: str = ""  # the difference, in words


def read_metric(run: RunDir, metric: str) -> MetricCurve:
    """Read the latest value of a metric at each step, by the protocol of the newest line only.

    Raises:
        SnapshotError: The run has no such values.
    """
    points = []
    for line in read_evaluations(run.evaluations):
        with suppress(ValueError):  # of another version, or not of a snapshot
            points.append(MetricValue.model_validate(line))
    found = [point for point in points if point.metric == metric]
    if not points:
        advice = f"run 'facegan evaluate {run.path} --every-snapshot'"
        raise SnapshotError(f"{run.evaluations}: holds no evaluations yet; {advice}")
    if not found:
        known = sorted({point.metric for point in points})
        raise SnapshotError(f"{run.evaluations}: holds no {quoted(metric)}; {nearest(metric, known)}")
    newest = found[-1].conditions()
    same = {point.step: point for point in found if point.conditions() == newest}  # the last line of a step wins
    others = [point for point in found if point.conditions() != newest]
    why = f"{others[-1].step:,} for one: {_difference(others[-1].conditions(), newest)}" if others else ""
    return MetricCurve(run.path.resolve().name, [same[step] for step in sorted(same)], len(others), why)


def protocol_difference(curves: Sequence[MetricCurve]) -> str:
    """Return how the protocols of several runs differ, in words; "" when they agree."""
    first, *others = [each.points[0].conditions() for each in curves]
    return next((_difference(each, first) for each in others if each != first), "")


def plot_metrics(panels: Sequence[Sequence[MetricCurve]]) -> Figure:
    """Plot values over steps with their intervals as bands, and real against real as dotted lines.

    Args:
        panels: For each metric, its curve in each run.
    """
    figure = Figure(figsize=(9, 1 + 3.4 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, curves in zip(rows, panels, strict=True):
        for curve, colour in zip(curves, cycle(COLOURS), strict=False):
            _draw_curve(axes, curve, colour, is_single=len(curves) == 1)
        values = [value for curve in curves for point in curve.points for value in point.drawn()]
        if min(values) > 0 and max(values) > LOG_RATIO * min(values):  # else the end of a run cannot be seen
            axes.set_yscale("log")
        first = curves[0].points[0]
        style_axes(axes, literal(f"{first.title} ({BETTER.get(first.better, first.better)})"))
        axes.set_ylabel(literal(first.metric))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize=9)
    rows[-1].set_xlabel("step")
    return figure


def _draw_curve(axes: Axes, curve: MetricCurve, colour: str, *, is_single: bool) -> None:
    first, name = curve.points[0], literal(curve.label)
    label = f"{'generated' if is_single else name}, {first.num_fake:,} to {first.num_real:,}"
    bounds = [(point.step, *point.interval) for point in curve.points if point.interval is not None]
    if bounds:
        steps, low, high = zip(*bounds, strict=True)
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    steps, values = zip(*((point.step, point.value) for point in curve.points), strict=True)
    axes.plot(steps, values, color=colour, label=label, marker=".", linewidth=1.3)
    floors = [(point.step, point.floor) for point in curve.points if point.floor is not None]
    if not floors:
        return
    # Fewer images can bias a metric, so the label has their numbers.
    counts = f"{floors[0][1].num_fake:,} to {floors[0][1].num_real:,} images"
    label = f"{'' if is_single else f'{name}: '}real against real, {counts}"
    style: dict[str, Any] = {"color": colour, "linewidth": 1, "linestyle": ":", "label": label}
    if len(floors) == 1:
        axes.axhline(floors[0][1].value, **style)
    else:
        axes.plot([step for step, _ in floors], [floor.value for _, floor in floors], **style)


def _difference(one: dict[str, str], other: dict[str, str]) -> str:
    """Return how two protocols differ: `evaluated images 1,000, not 10,000`."""
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    if "real" in keys or "extractor" in keys:  # digests mean nothing to people
        return "other real images" if "real" in keys else "another extractor"
    return "; ".join(f"{key} {one.get(key, 'none')}, not {other.get(key, 'none')}" for key in keys)


def plot_attributes(proportions: Sequence[Mapping[str, Any]], *, title: str = "Attributes") -> Figure:
    """Plot two horizontal bars for each attribute, real and generated, with 95 % intervals; largest difference first.

    The name of an attribute whose shares differ significantly is bold. At most MAX_ATTRIBUTES are shown.

    Args:
        proportions: Each with "name", "real", "real_interval", "fake", "fake_interval" and "differs", as in the details
            of the metric `attributes`.
        title: Above the bars.
    """
    chosen = sorted(proportions, key=lambda each: -abs(each["fake"] - each["real"]))[:MAX_ATTRIBUTES]
    figure = Figure(figsize=(9, MARGIN_INCHES + ROW_INCHES * max(1, len(chosen))), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(chosen))
    sides = (("real", "real", REAL_COLOUR, -BAR / 2), ("fake", "generated", FAKE_COLOUR, BAR / 2))
    for side, label, colour, shift in sides:
        shares = np.array([each[side] for each in chosen])
        bounds = np.array([each[f"{side}_interval"] for each in chosen]).reshape(-1, 2)
        margins = np.abs(bounds - shares[:, None]).T  # (2, attributes): to the left and to the right
        whiskers = {"ecolor": "#1f2937", "elinewidth": 0.8}
        axes.barh(rows + shift, shares, BAR, xerr=margins, label=label, color=colour, error_kw=whiskers)
    axes.set_yticks(rows, [literal(each["name"]) for each in chosen])
    for text, each in zip(axes.get_yticklabels(), chosen, strict=True):
        text.set_fontweight("bold" if each["differs"] else "normal")
    num_left_out = len(proportions) - len(chosen)
    rest = f"; {num_left_out} more, which differ less, are not shown" if num_left_out else ""
    axes.set(ylim=(len(chosen) - 0.4, -0.6), xlim=(0, None), xlabel=f"share of faces (bold: they differ{rest})")
    style_axes(axes, literal(title))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    legend_above(axes, columns=2)
    return figure
