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
from .metric import PIXELS, Measurement, Metric, Pair, Sample
from .results import Floor, Result

Floors = dict[tuple[Any, ...], Measurement]  # real images against real ones, by everything that they depend on


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
        pair: Real and judged images, without embeddings.
        extractors: By space, for the spaces that the metrics name.
        floor: Whether to measure real images against real ones.
        floors: Those of earlier calls, which are not measured again; new ones are added.
        reporter: Receives the progress, and a warning for each metric that cannot be measured.

    Raises:
        DataError: Sizes or channels differ, or no metric can be measured.
        FaceganError: An extractor returns vectors that are not finite.
    """
    _check_alike(pair)
    num_floor = min(len(pair.fake), len(pair.real) // 2) if floor else 0
    known = {} if floors is None else floors
    results, refused = list[Result](), list[str]()
    for space, chosen in _by_space(metrics).items():
        extractor = extractors.get(space)
        if extractor is None and space != PIXELS:
            refused += [f"{key}: compares vectors of the space '{space}', which has no network here" for key in chosen]
            continue
        complete, real_pair, matched = _embed(pair, num_floor, extractor, reporter)
        reasons = {key: metric.lacks(_with_progress(complete, key, reporter)) for key, metric in chosen.items()}
        refused += [f"{key}: {reason}" for key, reason in reasons.items() if reason]
        able = {key: metric for key, metric in chosen.items() if not reasons[key]}
        seconds: dict[str, float] = defaultdict(float)
        found = _measure(able, complete, seconds, reporter)
        of_reals = {}
        if real_pair and matched:
            of_reals = _measure_floors(able, real_pair, matched, extractor, known, seconds, reporter)
        for key, metric in able.items():
            result = _result(key, metric, found[key], complete, extractor)
            results.append(result.model_copy(update={"floor": of_reals.get(key), "seconds": seconds[key]}))
        del complete, real_pair, matched  # one space's vectors are in memory at a time
    if refused and not results:
        raise DataError(refused[0])
    for line in refused:
        reporter.warning(f"left out: {line}")
    return results


def _by_space(metrics: Mapping[str, Metric]) -> dict[str, dict[str, Metric]]:
    """The metrics of each space together, so that its images are embedded once."""
    found: dict[str, dict[str, Metric]] = {}
    for key, metric in metrics.items():
        found.setdefault(metric.space, {})[key] = metric
    return found


def _embed(
    pair: Pair, num_floor: int, extractor: Extractor | None, reporter: Reporter
) -> tuple[Pair, Pair | None, Pair | None]:
    """Embed all images once, those of the floor first; the embedding of a side is the sum of its two parts.

    Returns:
        All reals and all fakes; the other reals with the floor's reals in the place of the fakes; and the other reals
        with as many fakes. The last two are None where there is no floor.
    """

    def part(sample: Sample, first: int, end: int) -> Sample:
        rows = sample.rows[first:end]
        if extractor is None or not len(rows):
            return Sample(sample.image_set, rows)
        kind = "real" if sample is pair.real else "generated"
        progress = reporter.counter(f"embedding {kind} images ({extractor.title})")
        if sample is pair.real:
            embedding = cached_embedding(extractor, sample.image_set, rows, progress=progress, reporter=reporter)
        else:
            embedding = embed(extractor, sample.images, rows, progress=progress)
        return Sample(sample.image_set, rows, embedding)

    sides = []
    for sample in (pair.real, pair.fake):
        first, rest = part(sample, 0, num_floor), part(sample, num_floor, len(sample))
        sides.append((first, rest, Sample(sample.image_set, sample.rows, _total(first.embedding, rest.embedding))))
    (real_first, real_rest, real), (fake_first, _, fake) = sides
    device = extractor.device if extractor else pair.device
    complete = replace(pair, real=real, fake=fake, device=device, _memory={})
    if not num_floor:
        return complete, None, None
    of_reals = replace(complete, real=real_rest, fake=real_first, _memory={})
    return complete, of_reals, replace(complete, real=real_rest, fake=fake_first, intervals=False, _memory={})


def _total(first: Embedding | None, rest: Embedding | None) -> Embedding | None:
    """The embedding of both parts, of which either may be empty."""
    return first + rest if first and rest else first or rest


def _with_progress(pair: Pair, task: str, reporter: Reporter) -> Pair:
    """A pair that reports how far a metric is; the task begins at once, as few metrics count."""
    progress = reporter.counter(f"measuring {task}")
    progress(0, 0)
    return replace(pair, progress=progress)


def _measure(
    metrics: Mapping[str, Metric], pair: Pair, seconds: dict[str, float], reporter: Reporter, suffix: str = ""
) -> dict[str, Measurement]:
    """Measure a pair, add the time to `seconds`, and free what the metrics share."""
    found = {}
    for key, metric in metrics.items():
        began = time.perf_counter()
        found[key] = metric.measure(_with_progress(pair, f"{key}{suffix}", reporter))
        seconds[key] += time.perf_counter() - began
    pair.forget()
    return found


def _measure_floors(
    metrics: Mapping[str, Metric],
    of_reals: Pair,
    matched: Pair,
    extractor: Extractor | None,
    floors: Floors,
    seconds: dict[str, float],
    reporter: Reporter,
) -> dict[str, Floor]:
    """Measure reals against reals, and as many fakes against the same, where there are enough of them."""
    able = {
        key: metric
        for key, metric in metrics.items()
        if metric.has_floor and not metric.lacks(of_reals) and not metric.lacks(matched)
    }
    sides = of_reals.real.image_set.digest, len(of_reals.real), len(of_reals.fake)
    protocol = *sides, of_reals.seed, of_reals.intervals, extractor and extractor.digest
    keys = {key: (type(metric), metric, *protocol) for key, metric in able.items()}
    new = {key: metric for key, metric in able.items() if keys[key] not in floors}
    measured = _measure(new, of_reals, seconds, reporter, " of real images")
    floors.update({keys[key]: found for key, found in measured.items()})
    fakes = _measure(able, matched, seconds, reporter, " of as many as these")
    found = {}
    for key, metric in able.items():
        floor = floors[keys[key]]
        low, _ = floor.interval or (floor.value, floor.value)
        found[key] = Floor(
            value=floor.value,
            interval=floor.interval,
            num_real=len(of_reals.real),
            num_fake=len(of_reals.fake),
            matched=fakes[key].value,
            ratio=fakes[key].value / floor.value if metric.has_ratio and low > 0 else None,
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


def _check_alike(pair: Pair) -> None:
    """Refuse images that cannot be compared; raises DataError."""
    real, fake = pair.real.image_set, pair.fake.image_set
    if real.channels != fake.channels:
        kinds = {1: "grey", 3: "in colour"}
        raise DataError(
            f"{fake.label}: is {kinds[fake.channels]}, {real.label} {kinds[real.channels]}; compare images of one kind"
        )
    if real.images.shape[2:] != fake.images.shape[2:]:
        sizes = ["x".join(map(str, each.images.shape[:1:-1])) for each in (fake, real)]
        raise DataError(
            f"{fake.label}: has {sizes[0]} pixels, {real.label} has {sizes[1]}; compare images of one size "
            "(--resolution N brings both to one)"
        )
