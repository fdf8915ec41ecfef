"""What a run wrote of itself line by line: the ends of metrics.jsonl and log.txt, and how its health went."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from .atomic import open_regular, read_regular
from .run_dir import RunDir

TAIL_BYTES = 1 << 16  # of a file of lines: some hundred lines of metrics
MOST_LINES = 1 << 28  # bytes of a whole file of lines: more than any run writes
MOST = 10**12  # steps, images: more than any run has; what lies beyond is no number of ours
LONGEST_LINE = 300  # characters of a log's line
FAILED = "failed: "  # how the last line of a log begins when its run ended by an error
NOT_FINITE = "not finite"  # the health of a run whose numbers are lost


class Span(BaseModel):
    """Consecutive ticks of one health, from the first one's step to the last one's."""

    model_config = ConfigDict(frozen=True)

    health: str
    first: int
    last: int
    num_ticks: int


def last_record(path: Path) -> tuple[dict[str, Any] | None, bool]:
    """The last whole line of a metrics.jsonl, and whether what follows it is torn; reads only the file's end.

    Raises:
        OSError: The file is there and cannot be read.
    """
    torn = False
    for line in reversed(_tail(path)):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict) and type(record.get("step")) is int and 0 <= record["step"] <= MOST:
            return record, torn
        torn = True
    return None, torn


def metrics(run: RunDir) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; none of a file that cannot be read."""
    try:
        return list(run.read_metrics(lambda path: read_regular(path, MOST_LINES)))
    except OSError:
        return []


def evaluations(path: Path) -> list[dict[str, Any]]:
    """The lines of an evaluations.jsonl, in order; none of a file that cannot be read; other lines are passed over."""
    found = []
    try:
        lines = read_regular(path, MOST_LINES).splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def last_line(path: Path) -> str:
    """The last line of a log that is not empty; "" when there is none."""
    lines = [text for line in _tail(path) if (text := line.decode("utf-8", "replace").strip())]
    return "".join(char if char.isprintable() else "?" for char in lines[-1][:LONGEST_LINE]) if lines else ""


def number(record: Mapping[str, Any] | None, key: str) -> float | None:
    """A finite number of a line of metrics, or None."""
    value = (record or {}).get(key)
    if isinstance(value, int):
        return value if abs(value) <= MOST else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def is_finite(record: Mapping[str, Any]) -> bool:
    """Whether every number of a line of metrics is finite."""
    return all(math.isfinite(value) for value in record.values() if isinstance(value, float))


def health_of(record: Mapping[str, Any] | None) -> str | None:
    """What a line of metrics says of the run's health; None when it says nothing, as those of older runs."""
    value = (record or {}).get("health")
    return value if isinstance(value, str) else None


def spans(records: Iterable[Mapping[str, Any]]) -> list[Span]:
    """The health of a run in the order of its steps, equal neighbours joined; empty for a run that tells none."""
    found: list[Span] = []
    for record in records:
        health, step = health_of(record), record["step"]
        if health is None:
            continue
        if found and found[-1].health == health:
            found[-1] = found[-1].model_copy(update={"last": step, "num_ticks": found[-1].num_ticks + 1})
        else:
            found.append(Span(health=health, first=step, last=step, num_ticks=1))
    return found


def _tail(path: Path) -> list[bytes]:
    """The last lines of a file, not empty ones; none of a file that is not there."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            start = max(0, size - TAIL_BYTES)
            file.seek(start)
            lines = file.read(TAIL_BYTES).splitlines()
    except FileNotFoundError:
        return []
    return [line for line in (lines[1:] if start else lines) if line.strip()]
