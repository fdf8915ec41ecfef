"""Metrics over steps, from the evaluations.jsonl of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import BaseModel, ConfigDict, Field

from ..errors import SnapshotError
from ..messages import nearest, quoted
from ..storage.atomic import write_atomic
from ..storage.run_dir import RunDir
from ..storage.run_log import read_evaluations
from .lines import COLOURS, LARGEST

# Not of the protocol: with another seed or on another device, a metric estimates the same number.
ASIDE = ("seed", "device")
WIDE = 20.0  # times: values that lie farther apart are drawn on a logarithmic axis
BETTER = {"lower": "lower is better", "higher": "higher is better", "nearer": "nearer to real is better"}

Finite = Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)


class _Floor(BaseModel):
    value: float = Finite
    num_real: int
    num_fake: int


class Point(BaseModel):
    """What a line of evaluations.jsonl says of one snapshot, as far as a plot wants it."""

    model_config = ConfigDict(frozen=True)

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
        """All that must agree in two values that are compared, in words, by name."""
        kept = {key: str(value) for key, value in self.protocol.items() if key not in ASIDE}
        counts = {"judged images": f"{self.num_fake:,}", "real images": f"{self.num_real:,}"}
        others = {"weights": str(self.weights), "extractor": self.digests.get("extractor", "")}
        return {**kept, **counts, "real": self.digests.get("real", ""), **others}


@dataclass(frozen=True)
class Course:
    """One metric of one run over its steps, all by one protocol.

    Attributes:
        label: The run's name.
        points: One a step, ascending.
        left_out: Lines of the metric that were measured otherwise.
        why: How, in words; "" when there are none.
    """

    label: str
    points: Sequence[Point]
    left_out: int = 0
    why: str = ""


def course(run: RunDir, metric: str) -> Course:
    """The latest values of a metric at each step, by the protocol of the newest line; others are not mixed in.

    Raises:
        SnapshotError: The run has no such values.
    """
    path = run.path / "evaluations.jsonl"
    points = _points(path)
    found = [point for point in points if point.metric == metric]
    if not found:
        known = sorted({point.metric for point in points})
        if not known:
            raise SnapshotError(f"{path}: holds no evaluations yet; run 'facegan evaluate {run.path} --every-snapshot'")
        raise SnapshotError(f"{path}: holds no {quoted(metric)}; {nearest(metric, known)}")
    newest = found[-1].conditions()
    kept = {point.step: point for point in found if point.conditions() == newest}  # the last one of a step wins
    others = [point for point in found if point.conditions() != newest]
    why = f"{others[-1].step:,} for one: {_difference(others[-1].conditions(), newest)}" if others else ""
    return Course(run.path.resolve().name, [kept[step] for step in sorted(kept)], len(others), why)


def unlike(courses: Sequence[Course]) -> str:
    """How the protocols of several runs differ, in words; "" when they agree."""
    first, *others = [each.points[0].conditions() for each in courses]
    return next((_difference(each, first) for each in others if each != first), "")


def over_steps(panels: Sequence[Sequence[Course]]) -> Figure:
    """A panel a metric: values over steps, their intervals as bands, real against real as dotted lines.

    Args:
        panels: For each metric, its course in each run.
    """
    figure = Figure(figsize=(9, 1 + 3.4 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, courses in zip(rows, panels, strict=True):
        _panel(axes, courses)
    rows[-1].set_xlabel("step")
    return figure


def save_over_steps(panels: Sequence[Sequence[Course]], path: Path) -> None:
    """Draw `over_steps` into a file, whole or not at all; its ending is one of ENDINGS."""
    buffer = BytesIO()
    over_steps(panels).savefig(buffer, format=path.suffix[1:].lower(), dpi=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def _panel(axes: Axes, courses: Sequence[Course]) -> None:
    for number, each in enumerate(courses):
        colour = COLOURS[number % len(COLOURS)]
        point = each.points[0]
        label = f"{each.label if len(courses) > 1 else 'generated'}, {point.num_fake:,} to {point.num_real:,}"
        steps = [point.step for point in each.points]
        banded = [point for point in each.points if point.interval is not None]
        if banded:
            low, high = zip(*(point.interval or () for point in banded), strict=True)
            axes.fill_between([point.step for point in banded], low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(steps, [point.value for point in each.points], color=colour, label=label, marker=".", linewidth=1.3)
        floors = [(point.step, point.floor) for point in each.points if point.floor is not None]
        if not floors:
            continue
        # Fewer images can bias a metric: the line says of how many it is.
        counts = f"{floors[0][1].num_fake:,} to {floors[0][1].num_real:,} images"
        label = f"{f'{each.label}: ' if len(courses) > 1 else ''}real against real, {counts}"
        style: dict[str, Any] = {"color": colour, "linewidth": 1, "linestyle": ":", "label": label}
        if len(floors) == 1:
            axes.axhline(floors[0][1].value, **style)
        else:
            axes.plot([step for step, _ in floors], [floor.value for _, floor in floors], **style)
    values = [value for each in courses for point in each.points for value in _drawn(point)]
    if min(values) > 0 and max(values) > WIDE * min(values):  # else nothing is seen of how a run ends
        axes.set_yscale("log")
    first = courses[0].points[0]
    axes.set_title(f"{first.title} ({BETTER.get(first.better, first.better)})", loc="left")
    axes.set_ylabel(first.metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def _drawn(point: Point) -> list[float]:
    """Its value, its bounds and the floor."""
    return [point.value, *(point.interval or ()), *([point.floor.value] if point.floor else ())]


def _points(path: Path) -> list[Point]:
    """The lines that tell of a snapshot, in order; others are passed over."""
    found = []
    for line in read_evaluations(path):
        try:
            found.append(Point.model_validate(line))
        except ValueError:
            continue
    return found


def _difference(one: dict[str, str], other: dict[str, str]) -> str:
    """In what two protocols differ: `judged images 1,000, not 10,000`."""
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    if "real" in keys or "extractor" in keys:  # digests say nothing to people
        return "other real images" if "real" in keys else "another extractor"
    return "; ".join(f"{key} {one.get(key, 'none')}, not {other.get(key, 'none')}" for key in keys)
