"""The results of an evaluation: one line of JSON for each metric, with everything that the number depends on."""

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
    """The floor: real images against real ones, and the fakes against as many.

    Attributes:
        value: The metric with real images in the place of the fakes: two disjoint parts of the reals.
        interval: Its 95 % interval.
        num_real: Real images in their own place.
        num_fake: Real images in the place of the fakes.
        matched: The fakes' value on exactly as many images of both sides.
        ratio: matched / value; None where value is 0 except by chance, as for unbiased distances.
    """

    model_config = ConfigDict(frozen=True)

    value: float
    interval: tuple[float, float] | None
    num_real: int
    num_fake: int
    matched: float
    ratio: float | None


class Result(BaseModel):
    """A line of evaluations.jsonl.

    Attributes:
        metric: Its key.
        title: Its name in words.
        better: "lower", "higher", or "nearer" to the real images' value.
        subject: The name of the run, snapshot or source that was judged.
        value: The number.
        interval: Its 95 % interval over other fakes; None where the metric has none.
        num_real: Real images.
        num_fake: Judged images.
        floor: The yardstick; None where there is none.
        protocol: Everything that the number depends on besides the images: crop, filter, resize, resolution,
            channels, extractor, seed, device, and the metric's own settings.
        digests: SHA-256 of the "real" and "fake" pixels, the "extractor" and the "snapshot".
        details: Further numbers of the metric.
        step: Step of the snapshot; None for images of a folder.
        weights: "G_ema" or "G"; None for images of a folder.
        warnings: What to keep in mind, one sentence each.
        seconds: Duration without the embedding.
        time: When it was measured, in UTC.
        facegan: The version.
        during_training: Whether it was measured during training.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    title: str
    better: str
    subject: str
    value: float
    interval: tuple[float, float] | None
    num_real: int
    num_fake: int
    floor: Floor | None
    protocol: dict[str, Any]
    digests: dict[str, str]
    details: dict[str, Any]
    step: int | None = None
    weights: str | None = None
    warnings: tuple[str, ...] = ()
    seconds: float
    time: str
    facegan: str
    during_training: bool = False

    def line(self) -> dict[str, Any]:
        """Return it for JSON: numbers that are not finite are null; `num_images` is the number of judged images."""
        document = json.loads(self.model_dump_json())
        return {**document, "snapshot": self.digests.get("snapshot"), "num_images": self.num_fake}


def append(path: Path, results: list[Result]) -> None:
    """Append results to an evaluations.jsonl, all of them or none, on a new line after an incomplete one.

    Raises:
        FaceganError: A value is not finite: such a number is no result.
        OSError: It cannot be written; the earlier lines are unchanged.
    """
    for result in results:
        if not math.isfinite(result.value):
            raise FaceganError(f"{result.metric} of {result.subject}: is not finite; nothing was written")
    append_lines(path, b"".join(json.dumps(result.line()).encode() + b"\n" for result in results), durable=True)


def record(checkpoint: Checkpoint, results: list[Result]) -> None:
    """Append results to the evaluations.jsonl of the run that a snapshot lies in, if it lies in one.

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
        try:
            found.append(
                Result.model_validate({key: value for key, value in line.items() if key in Result.model_fields})
            )
        except ValueError:
            continue
    return found
