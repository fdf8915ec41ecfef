"""Two samples of images -> vectors -> metrics -> floor -> results."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from .. import __version__
from ..errors import DataError
from ..features import Embedding, Extractor, embed
from ..reporter import SILENT, Reporter
from .feature_cache import cached_embedding
from .metric import Measurement, Metric, Pair, Sample
from .results import Floor, Result

# Real images against real ones, by the digest of the extractor and by everything else that they depend on.
Floors = dict[str, dict[tuple[Any, ...], Measurement]]
Seconds = defaultdict[str, float]  # by metric


def measure(
    metrics: Mapping[str, Metric],
    pair: Pair,
    extractors: Mapping[str, Extractor],
    *,
    floor: bool = True,
    floors: Floors | None = None,
    reporter: Reporter = SILENT,
) -> list[Result]:
    """Embed each image once in each space, measure, and measure real images against real ones as the floor.

    Args:
        metrics: By key.
        pair: Real and evaluated images of one size and kind, without embeddings.
        extractors: By space, for the spaces that the metrics name.
        floor: Whether to measure real images against real ones.
        floors: Those of earlier calls, which are not measured again; new ones are added.
        reporter: Receives the progress, and a warning for each metric that cannot be measured.

    Raises:
        DataError: No metric can be measured.
        FaceganError: An extractor returns vectors that are not finite.
    """
    num_floor = min(len(pair.fake), len(pair.real) // 2) if floor else 0
    known = {} if floors is None else floors
    by_space: dict[str, dict[str, Metric]] = {}  # so that the images of each space are embedded once
    for key, metric in metrics.items():
        by_space.setdefault(metric.space, {})[key] = metric
    results, refused = list[Result](), list[str]()
    for space, chosen in by_space.items():
        extractor, seconds = extractors.get(space), Seconds(float)
        complete, *halves = _embed(pair, num_floor, extractor, reporter)
        reasons = {key: metric.lacks(_with_progress(complete, key, reporter)) for key, metric in chosen.items()}
        refused += [f"{key}: {reason}" for key, reason in reasons.items() if reason]
        able = {key: metric for key, metric in chosen.items() if not reasons[key]}
        found = _measure(able, complete, seconds, reporter)
        of_space = known.setdefault(extractor.digest if extractor else space, {})
        of_reals = _measure_floors(able, halves, of_space, seconds, reporter) if halves else {}
        for key, metric in able.items():
            more = {"floor": of_reals.get(key), "seconds": seconds[key]}
            results.append(_result(key, metric, found[key], complete, extractor).model_copy(update=more))
        del complete, halves  # one space's vectors are in memory at a time
    if refused and not results:
        raise DataError(refused[0])
    for line in refused:
        reporter.warning(f"left out: {line}")
    return results


def _embed(pair: Pair, num_floor: int, extractor: Extractor | None, reporter: Reporter) -> list[Pair]:
    """Embed all images once, those of the floor first; the embedding of a side is the sum of its two parts.

    Returns:
        All reals and all fakes; and where there is a floor, the other reals with the floor's reals in the place of the
        fakes, and the other reals with as many fakes.
    """

    def part(sample: Sample, first: int, end: int) -> Sample:
        rows, images = sample.rows[first:end], sample.image_set
        if extractor is None or not len(rows):
            return Sample(images, rows)
        kind = "real" if sample is pair.real else "generated"
        progress = reporter.counter(f"embedding {kind} images ({extractor.title})")
        if sample is pair.real:
            return Sample(images, rows, cached_embedding(extractor, images, rows, progress=progress, reporter=reporter))
        return Sample(images, rows, embed(extractor, images.images, rows, progress=progress))

    def both(first: Embedding | None, rest: Embedding | None) -> Embedding | None:
        return first + rest if first and rest else first or rest

    sides = []
    for sample in (pair.real, pair.fake):
        first, rest = part(sample, 0, num_floor), part(sample, num_floor, len(sample))
        sides.append((first, rest, Sample(sample.image_set, sample.rows, both(first.embedding, rest.embedding))))
    (real_first, real_rest, real), (fake_first, _, fake) = sides
    device = extractor.device if extractor else pair.device
    complete = replace(pair, real=real, fake=fake, device=device, _memory={})
    if not num_floor:
        return [complete]
    of_reals = replace(complete, real=real_rest, fake=real_first, _memory={})
    return [complete, of_reals, replace(complete, real=real_rest, fake=fake_first, intervals=False, _memory={})]


def _with_progress(pair: Pair, task: str, reporter: Reporter) -> Pair:
    """A pair that reports how far a metric is; the task begins at once, as few metrics count."""
    progress = reporter.counter(f"measuring {task}")
    progress(0, 0)
    return replace(pair, progress=progress)


def _measure(
    metrics: Mapping[str, Metric], pair: Pair, seconds: Seconds, reporter: Reporter, suffix: str = ""
) -> dict[str, Measurement]:
    """Measure a pair, add the time to `seconds`, and free the metrics' shared values."""
    found = {}
    for key, metric in metrics.items():
        began = time.perf_counter()
        measured = metric.measure(_with_progress(pair, f"{key}{suffix}", reporter))
        found[key] = measured if pair.intervals else replace(measured, interval=None)
        seconds[key] += time.perf_counter() - began
    pair.forget()
    return found


def _measure_floors(
    metrics: Mapping[str, Metric],
    halves: list[Pair],
    floors: dict[tuple[Any, ...], Measurement],
    seconds: Seconds,
    reporter: Reporter,
) -> dict[str, Floor]:
    """Measure reals against reals, and as many fakes against the same, where there are enough of them."""
    of_reals, matched = halves
    able = {
        key: metric
        for key, metric in metrics.items()
        if metric.has_floor and not metric.lacks(of_reals) and not metric.lacks(matched)
    }
    num_real, num_fake = len(of_reals.real), len(of_reals.fake)
    protocol = of_reals.real.image_set.digest, num_real, num_fake, of_reals.seed, of_reals.intervals
    keys = {key: (type(metric), metric, *protocol) for key, metric in able.items()}
    new = {key: metric for key, metric in able.items() if keys[key] not in floors}
    measured = _measure(new, of_reals, seconds, reporter, " of real images")
    floors.update({keys[key]: found for key, found in measured.items()})
    fakes = _measure(able, matched, seconds, reporter, " of as many as these")
    found = {}
    for key, metric in able.items():
        floor, value = floors[keys[key]], fakes[key].value
        low, _ = floor.interval or (floor.value, floor.value)
        ratio = value / floor.value if metric.has_ratio and low > 0 else None
        found[key] = Floor(
            value=floor.value, interval=floor.interval, num_real=num_real, num_fake=num_fake, matched=value, ratio=ratio
        )
    return found


def _result(key: str, metric: Metric, found: Measurement, pair: Pair, extractor: Extractor | None) -> Result:
    real, fake = pair.real.image_set, pair.fake.image_set
    protocol = {
        "resolution": fake.resolution,
        "channels": fake.channels,
        "crop": real.crop,
        "filter": real.filter,
        "resize": extractor.resize if extractor else "none",
        "extractor": extractor.title if extractor else "pixels",
        "comparable": metric.comparable or (extractor.comparable if extractor else "any tool with the same protocol"),
        "seed": pair.seed,
        "device": pair.device,
        "real": real.label,
        **metric.model_dump(mode="json"),
    }
    digests = {"real": real.digest, "fake": fake.digest}
    return Result(
        metric=key,
        title=metric.title,
        better=metric.better,
        subject=fake.label,
        value=found.value,
        interval=found.interval,
        num_real=len(pair.real),
        num_fake=len(pair.fake),
        floor=None,
        protocol=protocol,
        digests={**digests, "extractor": extractor.digest} if extractor else digests,
        details=found.details,
        warnings=fake.warnings,
        seconds=0,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        facegan=__version__,
    )
