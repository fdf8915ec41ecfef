"""What an evaluation leaves: a line a metric, with all that the number depends on."""

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..errors import FaceganError
from ..storage.atomic import append_lines
from ..storage.run_log import read_evaluations


class Floor(BaseModel):
    """Real images against real ones, and the fakes against as many.

    Attributes:
        value: The metric with real images in the place of the fakes: two disjoint parts of the reals.
        interval: Of it.
        num_real: Real images in their own place.
        num_fake: Real images in the place of the fakes.
        matched: The fakes' value on exactly as many images of both sides.
        ratio: matched / value; None where value is 0 but for chance, as for unbiased distances.
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
        title: In words.
        better: "lower", "higher", or "nearer" to the real images' value.
        subject: What was judged, as it was named.
        value: The number.
        interval: Its 95 % interval over other fakes; None where the metric has none.
        num_real: Real images.
        num_fake: Judged images.
        floor: The yardstick; None where it was not asked for or there is none.
        protocol: Everything that the number depends on besides the images: crop, filter, resize, resolution,
            channels, extractor, seed, device, and the metric's own settings.
        digests: SHA-256 of what was compared: "real" and "fake" pixels, "extractor", "snapshot".
        details: Further numbers of the metric.
        step: Of the snapshot; None for images of a folder.
        weights: "G_ema" or "G"; None as well.
        warnings: What to keep in mind, a sentence each.
        seconds: What it took, features aside.
        time: When, in UTC.
        facegan: The version.
        during_training: Whether the run itself measured this while it was trained.
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
        """For JSON, in which numbers that are not finite are null; `num_images` is the number of judged images."""
        document = json.loads(self.model_dump_json())
        return {**document, "snapshot": self.digests.get("snapshot"), "num_images": self.num_fake}


def append(path: Path, results: list[Result]) -> None:
    """Append results to an evaluations.jsonl, all of them or none; what a crash left half-written becomes a line.

    Raises:
        FaceganError: A value is not finite: such a number is no result.
        OSError: It cannot be written; the lines before stand.
    """
    for result in results:
        if not math.isfinite(result.value):
            raise FaceganError(f"{result.metric} of {result.subject}: is not finite; nothing was written")
    append_lines(path, b"".join(json.dumps(result.line()).encode() + b"\n" for result in results), durable=True)


def read(path: Path) -> list[Result]:
    """The results of an evaluations.jsonl, in order; lines that are none are passed over."""
    found = []
    for line in read_evaluations(path):
        try:
            found.append(
                Result.model_validate({key: value for key, value in line.items() if key in Result.model_fields})
            )
        except ValueError:
            continue
    return found
