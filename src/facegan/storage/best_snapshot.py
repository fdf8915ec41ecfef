"""The best snapshot of a run, by the evaluations during training that evaluations.jsonl holds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..config import EvaluationConfig
from .atomic import json_object, read_regular, write_atomic
from .run_dir import MAX_BYTES, MAX_STEPS, RunDir
from .run_log import read_evaluations

RANKING = ("lower", "higher")  # values of "better" by which snapshots can be ranked
_TYPES = {
    "metric": str, "title": str, "better": str, "value": int | float, "num_fake": int, "step": int, "protocol": dict,
    "digests": dict,
}  # fmt: skip


class BestSnapshot(BaseModel, frozen=True):
    """The best snapshot of a run, of those that were evaluated during training."""

    step: int
    path: Path
    metric: str  # the key of the metric that ranks it
    title: str
    value: float
    num_images: int  # generated images that were evaluated


def best_snapshot(run: RunDir, settings: EvaluationConfig) -> BestSnapshot | None:
    """Return the best snapshot that still exists; None when no evaluation ranks one."""
    existing = set(run.steps("snapshots"))
    line = best_line([each for each in training_evaluations(run) if each["step"] in existing], settings)
    if line is None:
        return None
    fields = {key: line[key] for key in ("step", "metric", "title", "value")}
    return BestSnapshot(**fields, path=run.snapshot(line["step"]), num_images=line["num_fake"])


def best_line(lines: Sequence[Mapping[str, Any]], settings: EvaluationConfig) -> Mapping[str, Any] | None:
    """Return the best of the lines of `training_evaluations`, of equal ones the first; None when none can be ranked.

    Only lines with the protocol and number of images of the newest one are compared.
    """
    for key in (settings.keep_best,) if settings.keep_best else settings.keys:
        ranked = [line for line in lines if line["metric"] == key and line["better"] in RANKING]
        if ranked:
            comparable = [line for line in ranked if _protocol(line) == _protocol(ranked[-1])]
            sign = 1 if ranked[-1]["better"] == "lower" else -1
            return min(comparable, key=lambda line: sign * float(line["value"]))
    return None


def training_evaluations(run: RunDir) -> list[dict[str, Any]]:
    """Return the lines of evaluations.jsonl that were written during training, in order, without invalid ones."""
    return [line for line in read_evaluations(run.evaluations) if _is_of_training(line) and _is_valid(line)]


def cut_evaluations(run: RunDir, step: int) -> None:
    """Drop the evaluations during training after `step`, and lines that are not JSON; keep all others.

    Raises:
        OSError: The file cannot be read or written, or is a link or a pipe; it is unchanged.
    """
    content = read_regular(run.evaluations, MAX_BYTES) if run.evaluations.exists() else b""
    lines = [(line, json_object(line)) for line in content.splitlines()]
    kept = [line + b"\n" for line, record in lines if record is not None and _is_kept(record, step)]
    if content and b"".join(kept) != content:
        write_atomic(run.evaluations, b"".join(kept))


def _is_kept(record: Mapping[str, Any], step: int) -> bool:
    return not _is_of_training(record) or (_is_valid(record) and record["step"] <= step)


def _is_of_training(line: Mapping[str, Any]) -> bool:
    return line.get("during_training") is True


def _is_valid(line: Mapping[str, Any]) -> bool:
    if not all(isinstance(line.get(key), kind) and line[key] is not True for key, kind in _TYPES.items()):
        return False
    return math.isfinite(line["value"]) and 0 <= line["step"] <= MAX_STEPS


def _protocol(line: Mapping[str, Any]) -> list[Any]:
    """All that a value depends on except the generated images, and the device, which only rounds differently."""
    settings = {key: value for key, value in line["protocol"].items() if key != "device"}
    compared = [line["digests"].get(key) for key in ("real", "extractor")]
    return [settings, compared, line["num_fake"], line.get("num_real"), line.get("weights")]
