"""What a run measured while it was trained, and the best of its snapshots: evaluations.jsonl alone tells."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..config import EvaluationConfig
from .atomic import write_atomic
from .run_dir import MOST_STEPS, RunDir
from .run_log import evaluations

RANKING = ("lower", "higher")  # what is better, of metrics that put snapshots in an order
_KINDS = {
    "metric": str, "title": str, "better": str, "value": int | float, "num_fake": int, "step": int, "protocol": dict,
    "digests": dict,
}  # fmt: skip


class Best(BaseModel):
    """The best snapshot of a run, as far as it was measured while the run was trained.

    Attributes:
        step: Of the snapshot.
        path: Its file.
        metric: The key of the metric that says so.
        title: That metric in words.
        value: What it found.
        num_images: How many faces were judged.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    path: Path
    metric: str
    title: str
    value: float
    num_images: int


def best(run: RunDir, settings: EvaluationConfig) -> Best | None:
    """The best snapshot that stands; None: no evaluation ranks one."""
    standing = set(run.steps("snapshots"))
    line = best_of([each for each in measured(run) if each["step"] in standing], settings)
    if line is None:
        return None
    told = {key: line[key] for key in ("step", "metric", "title", "value")}
    return Best(**told, path=run.snapshot(line["step"]), num_images=line["num_fake"])


def best_of(lines: Sequence[Mapping[str, Any]], settings: EvaluationConfig) -> Mapping[str, Any] | None:
    """The best of lines that `measured` gave, in their order; of equal ones the first; None: none can be ranked.

    Only lines that were measured as the newest one was are compared with it: on as many images, by the same protocol.
    """
    for key in (settings.keep_best,) if settings.keep_best else settings.keys:
        ranked = [line for line in lines if line["metric"] == key and line["better"] in RANKING]
        if ranked:
            alike = [line for line in ranked if _protocol(line) == _protocol(ranked[-1])]
            sign = 1 if ranked[-1]["better"] == "lower" else -1
            return min(alike, key=lambda line: sign * float(line["value"]))
    return None


def measured(run: RunDir) -> list[dict[str, Any]]:
    """The lines of evaluations.jsonl that were measured during training, in order; what is none is passed over."""
    return [line for line in evaluations(run.evaluations) if _is_ours(line) and _is_sound(line)]


def cut(run: RunDir, step: int) -> None:
    """Drop what was measured during training after `step`, and what is no line; other evaluations stay.

    Raises:
        OSError: The file cannot be read or written; it is as it was.
    """
    if not run.evaluations.exists():
        return
    content = run.evaluations.read_bytes()
    kept = b"".join(line + b"\n" for line in content.splitlines() if _outlasts(line, step))
    if kept != content:
        write_atomic(run.evaluations, kept)


def _outlasts(line: bytes, step: int) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict):
        return False
    return not _is_ours(record) or (_is_sound(record) and record["step"] <= step)


def _is_ours(line: Mapping[str, Any]) -> bool:
    return line.get("during_training") is True


def _is_sound(line: Mapping[str, Any]) -> bool:
    if not all(isinstance(line.get(key), kind) and line[key] is not True for key, kind in _KINDS.items()):
        return False
    return math.isfinite(line["value"]) and 0 <= line["step"] <= MOST_STEPS


def _protocol(line: Mapping[str, Any]) -> list[Any]:
    """All that a number depends on but for the faces themselves, and the device, which only rounds differently."""
    settings = {key: value for key, value in line["protocol"].items() if key != "device"}
    compared = [line["digests"].get(key) for key in ("real", "extractor")]
    return [settings, compared, line["num_fake"], line.get("num_real"), line.get("weights")]
