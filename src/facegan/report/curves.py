"""Curves over the steps of a run, as the paths of an inline SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..storage.run_log import finite_number

WIDTH, HEIGHT = 480, 190  # of the drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 48, WIDTH - 8, 10, HEIGHT - 24  # of the axes
BINS = 240  # longer curves are drawn as the averages over so many bins, above a pale band of their range
MAX_VALUE = 1e100  # that can be drawn


@dataclass(frozen=True)
class PanelSpec:
    """A kind of panel: the keys of its curves in metrics.jsonl with their labels, and the range of its axis."""

    title: str
    curves: Mapping[str, str]
    low: float | None = None
    high: float | None = None
    line: float | None = None  # drawn as a dashed level
    note: str = ""


PACE = "They show whether D and G keep up with each other, not how good the faces are."
NO_BELIEFS = " D(x) and D(G(z)), what D believes, are not defined for this loss."
BALANCE = "How real D finds images. At 0.5 it cannot tell."
COLLAPSE = "Generated faces that differ far less than training images are a collapse."
BELIEFS = {"score/real": "D(x), training images", "score/fake": "D(G(z)), generated faces"}
SPREADS = {"spread/real": "training images", "spread/fake": "generated faces"}
LOSSES, SCORES = "Training losses", "What D believes"
SPECS = (
    PanelSpec(LOSSES, {"loss/D": "D", "loss/G": "G"}, note=PACE),
    PanelSpec(SCORES, BELIEFS, low=0, high=1, line=0.5, note=BALANCE),
    PanelSpec("How much images differ", SPREADS, low=0, note=COLLAPSE),
    PanelSpec("Speed", {"images_per_second": "images/s"}, low=0),
)


@dataclass(frozen=True)
class Curve:
    """One curve: its path, and its values for the pointer."""

    label: str
    line: str  # an SVG path of the averages
    band: str  # and of the range around them; "" when every point is drawn
    values: Sequence[float | None]
    last: float


@dataclass(frozen=True)
class Panel:
    """Curves with one vertical axis."""

    title: str
    note: str
    curves: Sequence[Curve]
    levels: Sequence[tuple[float, str]]  # y and text of the horizontal lines
    line: float | None  # y of the level to compare with
    steps: Sequence[float]

    @property
    def summary(self) -> str:
        """Its content as text, for screen readers."""
        return f"{self.title}; last values: " + ", ".join(f"{each.label} {each.last:.3g}" for each in self.curves)

    @property
    def data(self) -> dict[str, Any]:
        """Its values, for the page's script."""
        return {"steps": self.steps, "values": [each.values for each in self.curves]}


def panels(records: Sequence[Mapping[str, Any]], last: int) -> list[Panel]:
    """Return the panels of losses, scores, spreads and speed over 0...last steps; those without values are left out.

    For a loss without scores, the panel of losses says so.
    """
    size = -(-len(records) // BINS) or 1
    bins = [records[start : start + size] for start in range(0, len(records), size)]
    steps = [sum(record["step"] for record in part) / len(part) for part in bins]
    found = []
    for spec in SPECS:
        columns = {key: [_values(part, key) for part in bins] for key in spec.curves}
        columns = {key: column for key, column in columns.items() if any(column)}
        if columns:
            found.append(_panel(spec, steps, columns, last))
    if found and found[0].title == LOSSES and all(panel.title != SCORES for panel in found):
        found[0] = replace(found[0], note=found[0].note + NO_BELIEFS)
    return found


def across(step: float, last: int) -> float:
    """Return the position of a step on the horizontal axis."""
    return round(LEFT + (RIGHT - LEFT) * step / max(last, 1), 1)


def marks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers in a range, evenly spaced: 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _values(part: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    values = (finite_number(record, key) for record in part)
    return [float(value) for value in values if value is not None and abs(value) < MAX_VALUE]


def _panel(spec: PanelSpec, steps: Sequence[float], columns: Mapping[str, Sequence[list[float]]], last: int) -> Panel:
    means = {
        key: [sum(values) / len(values) if values else None for values in column] for key, column in columns.items()
    }
    known = [value for column in means.values() for value in column if value is not None]
    low = min(0.0, *known) if spec.low is None else spec.low
    high = max(low + 1e-6, *known) if spec.high is None else spec.high
    top = high if spec.high is not None else high + 0.05 * (high - low)

    def up(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * min(max((value - low) / (top - low), 0.0), 1.0), 1)

    xs = [across(step, last) for step in steps]
    curves = [
        Curve(
            label=spec.curves[key],
            line=_line(xs, [None if mean is None else up(mean) for mean in means[key]]),
            band=_band(xs, [[up(min(values)), up(max(values))] if values else None for values in column]),
            values=[None if mean is None else float(f"{mean:.4g}") for mean in means[key]],
            last=next(values[-1] for values in reversed(column) if values),
        )
        for key, column in columns.items()
    ]
    levels = [(up(mark), f"{mark:,.6g}") for mark in marks(low, top)]
    return Panel(spec.title, spec.note, curves, levels, None if spec.line is None else up(spec.line), steps)


def _line(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    """Return a path through the known values with gaps between them; a single point is a dot."""
    path, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if y is not None:
            path.append(f"{pen}{x} {y}" + ("h0.1" if pen == "M" else ""))
        pen = "M" if y is None else "L"
    return "".join(path)


def _band(xs: Sequence[float], ranges: Sequence[list[float] | None]) -> str:
    """Return a closed path around the ranges; empty when all are points."""
    known = [(x, *each) for x, each in zip(xs, ranges, strict=True) if each is not None]
    if all(low == high for _, low, high in known):
        return ""
    there = [f"{x} {low}" for x, low, _ in known]
    back = [f"{x} {high}" for x, _, high in reversed(known)]
    return "M" + "L".join(there + back) + "Z"
