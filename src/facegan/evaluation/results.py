"""The results of an evaluation: one line of JSON for each metric, with everything that the number depends on."""

import contextlib
import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..checkpoint import Checkpoint
from ..errors import FaceganError
from ..storage.atomic import append_lines
from ..storage.run_log import read_evaluations


class Floor(BaseModel):
    """The floor: real images against real ones, and the fakes against as many."""

    model_config = ConfigDict(frozen=True)

    value: float  # of real images in the place of the fakes: two disjoint parts of the reals
    interval: tuple[float, float] | None  # 95 %
    num_real: int  # real images in their own place
    num_fake: int  # real images in the place of the fakes
    matched: float  # the fakes' value on exactly as many images of both sides
    ratio: float | None  # matched / value; None where value is 0 except by chance, as for unbiased distances


class Result(BaseModel):
    """A line of evaluations.jsonl."""

    model_config = ConfigDict(frozen=True)

    metric: str  # its key
    title: str  # its name in words
    better: str  # "lower", "higher", or "nearer" to the real images' value
    subject: str  # the name of the run, snapshot or source that was evaluated
    value: float
    interval: tuple[float, float] | None  # 95 % confidence, of the mean over sets of as many fakes; None: it has none
    num_real: int
    num_fake: int  # evaluated images
    floor: Floor | None  # the yardstick; None where there is none
    protocol: dict[str, Any]  # everything else that the number depends on, and the metric's own settings
    digests: dict[str, str]  # SHA-256 of the "real" and "fake" pixels, the "extractor" and the "snapshot"
    details: dict[str, Any]  # further numbers of the metric
    step: int | None = None  # of the snapshot; None for images of a folder
    weights: str | None = None  # "G_ema" or "G"; None for images of a folder
    warnings: tuple[str, ...] = ()  # what to keep in mind, one sentence each
    seconds: float  # without the embedding
    time: str  # when it was measured, in UTC
    facegan: str  # the version
    during_training: bool = False

    def line(self) -> dict[str, Any]:
        """Return it for JSON: numbers that are not finite are null; `num_images` is the number of evaluated images."""
        document = json.loads(self.model_dump_json())
        return {**document, "snapshot": self.digests.get("snapshot"), "num_images": self.num_fake}


def append(path: Path, results: list[Result]) -> None:
    """Append results to an evaluations.jsonl, all of them or none, on a new line after an incomplete one.

    Raises:
        FaceganError: A value is not finite.
        OSError: It cannot be written; the earlier lines are unchanged.
    """
    for result in results:
        if not math.isfinite(result.value):
            raise FaceganError(f"{result.metric} of {result.subject}: is not finite; nothing was written")
    append_lines(path, b"".join(json.dumps(result.line()).encode() + b"\n" for result in results), durable=True)


def record(checkpoint: Checkpoint, results: list[Result]) -> None:
    """Append results to the evaluations.jsonl of the run that contains a snapshot, if there is one.

    Raises:
        FaceganError: The file cannot be written, or a value is not finite.
    """
    if checkpoint.run_folder is None:
        return
    path = checkpoint.run_folder / "evaluations.jsonl"
    try:
        append(path, results)
    except OSError as error:
        raise FaceganError(
            f"{path}: the results shown cannot be added to it ({error.strerror or error}); make room or the folder "
            "writable, and run the command again"
        ) from None


def read(path: Path) -> list[Result]:
    """Return the results of an evaluations.jsonl in their order; invalid lines are skipped."""
    found = []
    for line in read_evaluations(path):
        with contextlib.suppress(ValueError):
            found.append(Result.model_validate(line))
    return found
