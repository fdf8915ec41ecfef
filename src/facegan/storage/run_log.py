"""The lines a run writes: metrics.jsonl, evaluations.jsonl and log.txt, the course of its health, captions of grids."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .atomic import json_object, open_regular, read_regular
from .run_dir import MAX_BYTES, MAX_STEPS, RunDir

TAIL_BYTES = 1 << 16  # read from the end of a file of lines: some hundred lines of metrics
MAX_LINE = 300  # characters shown of a line of the log
FAILED = "failed: "  # how the last line of a log begins when the run ended with an error
NOT_FINITE = "not finite"  # the health of a run with losses that are not finite


class Span(BaseModel, frozen=True):
    """Consecutive ticks of one health, from the first one's step to the last one's."""

    health: str
    first: int
    last: int
    num_ticks: int


def last_record(path: Path) -> tuple[dict[str, Any] | None, bool]:
    """Return the last valid line of a metrics.jsonl, and whether a torn one follows it; reads only the file's end.

    Raises:
        OSError: The file exists and cannot be read.
    """
    torn = False
    for line in reversed(_tail(path)):
        record = json_object(line)
        if record is not None and type(record.get("step")) is int and 0 <= record["step"] <= MAX_STEPS:
            return record, torn
        torn = True
    return None, torn


def read_metrics(run: RunDir) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.jsonl; none of a file that cannot be read."""
    try:
        return list(run.read_metrics())
    except OSError:
        return []


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an evaluations.jsonl, without invalid ones; none of a file that cannot be read."""
    try:
        lines = read_regular(path, MAX_BYTES).splitlines()
    except OSError:
        return []
    return [record for line in lines if (record := json_object(line)) is not None]


def last_line(path: Path) -> str:
    """Return the last line of a log that is not blank; "" when there is none."""
    lines = [text for line in _tail(path) if (text := line.decode("utf-8", "replace").strip())]
    return "".join(char if char.isprintable() else "?" for char in lines[-1][:MAX_LINE]) if lines else ""


def finite_number(record: Mapping[str, Any] | None, key: str) -> float | None:
    """Return a finite number of a line of metrics, or None."""
    value = (record or {}).get(key)
    if isinstance(value, int):
        return value if abs(value) <= MAX_STEPS else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def is_finite(record: Mapping[str, Any]) -> bool:
    """Return whether every number of a line of metrics is finite."""
    return all(math.isfinite(value) for value in record.values() if isinstance(value, float))


def health_of(record: Mapping[str, Any] | None) -> str | None:
    """Return the health that a line of metrics gives; None when it gives none, as those of older runs."""
    value = (record or {}).get("health")
    return value if isinstance(value, str) else None


def health_spans(records: Iterable[Mapping[str, Any]]) -> list[Span]:
    """Return a run's health in the order of its steps, equal neighbours joined; empty when no line gives any."""
    known = [(health, record["step"]) for record in records if (health := health_of(record)) is not None]
    groups = [list(group) for _, group in groupby(known, key=itemgetter(0))]
    return [Span(health=group[0][0], first=group[0][1], last=group[-1][1], num_ticks=len(group)) for group in groups]


def evenly(steps: Sequence[int], most: int) -> list[int]:
    """Choose at most so many of the steps, evenly: always the last, and the first when two fit."""
    if len(steps) <= most:
        return list(steps)
    if most == 1:
        return [steps[-1]]
    return [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]


def caption(records: Sequence[Mapping[str, Any]], step: int) -> str:
    """Return `step 1,000   epoch 2.35   64 kimg` as far as known, in proportion to the nearest line of metrics."""
    epoch, kimg = (_interpolated(records, key, step) for key in ("epoch", "kimg"))
    parts = [f"step {step:,}"]
    parts += [f"epoch {epoch:.2f}"] if epoch is not None else []
    parts += [f"{kimg:,.0f} kimg" if kimg >= 10 or kimg == 0 else f"{kimg:.2f} kimg"] if kimg is not None else []
    return "   ".join(parts)


def _interpolated(records: Sequence[Mapping[str, Any]], key: str, step: int) -> float | None:
    known = [
        (record["step"], value)
        for record in records
        if record["step"] > 0 and (value := finite_number(record, key)) is not None
    ]
    if not known:
        return None
    nearest_step, value = min(known, key=lambda pair: abs(pair[0] - step))
    return float(value * step / nearest_step)


def _tail(path: Path) -> list[bytes]:
    """Return the last lines of a file that are not blank; none of a missing file."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            start = max(0, size - TAIL_BYTES)
            file.seek(start)
            lines = file.read(TAIL_BYTES).splitlines()
    except FileNotFoundError:
        return []
    return [line for line in (lines[1:] if start else lines) if line.strip()]
