"""Real images and fakes -> vectors -> metrics -> results."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import DataError
from ..features import Extractor
from .feature_cache import Say
from .looking import Compared, Tell, compared, ordered
from .metric import PIXELS, Measurement, Metric
from .pair import Pair
from .results import Floor, Result
from .subjects import Reference, Subject

__all__ = ["FEW", "Floors", "Tell", "evaluate"]

Floors = dict[tuple[Any, ...], Measurement]  # reals against reals, by all that they depend on

FEW = 2048  # samples: below, a covariance of Inception's 2,048 features is singular and FID hardly says anything


def evaluate(
    metrics: Mapping[str, Metric],
    reference: Reference,
    subject: Subject,
    extractors: Mapping[str, Extractor],
    *,
    seed: int = 0,
    num_real: int = 0,
    floor: bool = True,
    intervals: bool = True,
    device: str = "cpu",
    tell: Tell | None = None,
    refuse: Say | None = None,
    say: Say | None = None,
    floors: Floors | None = None,
) -> list[Result]:
    """Measure a subject against real images, in titled steps: check, order, look, measure, compare with the floor.

    Args:
        metrics: By their keys; those whose images do not suffice are passed to `refuse`.
        reference: The reals.
        subject: What is judged.
        extractors: By space, for every space that the metrics name but "pixels".
        seed: Of the order of the reals, and of whatever metrics draw.
        num_real: How many reals, drawn at random; 0: all.
        floor: Whether to measure reals against reals.
        intervals: Whether intervals are wanted, which may take several times as long as the values.
        device: Where metrics in pixels may compute.
        tell: Called with what is begun; returns its progress callback, which hears (0, 0) of what may not count.
        refuse: Called with one line for each metric that cannot be measured; None raises it instead.
        say: Called with one line for what went wrong without being in the way of a number.
        floors: Those of earlier evaluations, which need not be measured again; new ones are added.

    Raises:
        DataError: Sizes or channels differ, or a metric cannot be measured and `refuse` is None.
        FaceganError: An extractor gives vectors that are not finite.
    """
    # Check: only images of one kind and size are compared.
    _check_alike(reference.pictures, subject.pictures, reference.source, subject.name)

    # Order: the seed's; the first reals are the floor's.
    order = ordered(reference, subject, seed=seed, num_real=num_real, floor=floor)

    results: list[Result] = []
    for space, chosen in _by_space(metrics, extractors, refuse).items():
        # Look: each image goes once through the network whose vectors these metrics compare.
        extractor = extractors.get(space)
        seen = compared(
            order, reference, subject, extractor, seed=seed, intervals=intervals, device=device, tell=tell, say=say
        )

        # Measure: what cannot be measured is said, and does not keep the others back.
        able: dict[str, Metric] = {}
        for key, metric in chosen.items():
            if why := metric.lacks(_told(key, seen.whole, tell)):
                _refuse(f"{key}: {why}", refuse)
            else:
                able[key] = metric
        spent: dict[str, float] = defaultdict(float)
        found = _measured(able, seen.whole, spent, tell)

        # Compare with the floor: what the same number of true images would have got.
        yardsticks = _yardsticks(able, seen, extractor, {} if floors is None else floors, spent, tell)
        results += [
            _result(key, metric, found[key], yardsticks.get(key), seen.whole, reference, subject, extractor, spent[key])
            for key, metric in able.items()
        ]
        del seen  # one space's vectors at a time
    return results


def _told(what: str, pair: Pair, tell: Tell | None) -> Pair:
    """A pair whose metric may tell how far it is; whoever waits hears at once that it has begun."""
    if tell is None:
        return pair
    progress = tell(f"measuring {what}")
    progress(0, 0)
    return replace(pair, progress=progress)


def _measured(
    metrics: Mapping[str, Metric], pair: Pair, spent: dict[str, float], tell: Tell | None, of: str = ""
) -> dict[str, Measurement]:
    """What metrics find in a pair, by their keys; what they share is freed, and their seconds are added to `spent`."""
    found = {}
    for key, metric in metrics.items():
        began = time.perf_counter()
        found[key] = metric.measure(_told(f"{key}{of}", pair, tell))
        spent[key] += time.perf_counter() - began
    pair.forget()
    return found


def _by_space(
    metrics: Mapping[str, Metric], extractors: Mapping[str, Extractor], refuse: Say | None
) -> dict[str, dict[str, Metric]]:
    """The metrics of each space together, so that its images are looked at once; those without a network refused."""
    found: dict[str, dict[str, Metric]] = {}
    for key, metric in metrics.items():
        if metric.space == PIXELS or metric.space in extractors:
            found.setdefault(metric.space, {})[key] = metric
        else:
            _refuse(f"{key}: compares vectors of the space '{metric.space}', and no network for it was given", refuse)
    return found


def _refuse(line: str, refuse: Say | None) -> None:
    """Pass on why a metric cannot be measured; raises DataError when nobody listens."""
    if refuse is None:
        raise DataError(line)
    refuse(line)


def _yardsticks(
    metrics: Mapping[str, Metric],
    seen: Compared,
    extractor: Extractor | None,
    floors: Floors,
    spent: dict[str, float],
    tell: Tell | None,
) -> dict[str, Floor]:
    """Reals against reals, and as many fakes against the same, by metric; without those for which they are too few."""
    reals, matched = seen.reals, seen.matched
    if reals is None or matched is None:
        return {}
    able = {
        key: metric
        for key, metric in metrics.items()
        if metric.has_floor and not metric.lacks(reals) and not metric.lacks(matched)
    }
    depends = reals.known.digest, len(reals.real), len(reals.fake), reals.seed, reals.intervals
    keys = {key: (type(metric), metric, *depends, extractor and extractor.digest) for key, metric in able.items()}
    new = {key: metric for key, metric in able.items() if keys[key] not in floors}
    floors.update({keys[key]: found for key, found in _measured(new, reals, spent, tell, " of real images").items()})
    fakes = _measured(able, matched, spent, tell, " of as many as these")
    return {key: _floor(metric, reals, floors[keys[key]], fakes[key]) for key, metric in able.items()}


def _floor(metric: Metric, reals: Pair, found: Measurement, fakes: Measurement) -> Floor:
    low, _ = found.interval or (found.value, found.value)
    return Floor(
        value=found.value,
        interval=found.interval,
        num_real=len(reals.real),
        num_fake=len(reals.fake),
        matched=fakes.value,
        ratio=fakes.value / found.value if metric.has_ratio and low > 0 else None,
    )


def _result(
    key: str,
    metric: Metric,
    found: Measurement,
    floor: Floor | None,
    pair: Pair,
    reference: Reference,
    subject: Subject,
    extractor: Extractor | None,
    seconds: float,
) -> Result:
    channels, resolution = subject.pictures.shape[1:3]
    protocol: dict[str, Any] = {
        "resolution": resolution,
        "channels": channels,
        "crop": reference.crop,
        "filter": reference.filter,
        "resize": extractor.resize if extractor else "none",
        "extractor": extractor.title if extractor else "pixels",
        "comparable": metric.comparable or (extractor.comparable if extractor else "any tool with the same protocol"),
        "seed": pair.seed,
        "device": pair.device,
        "real": reference.source,
        **metric.model_dump(mode="json"),
    }
    digests = {"real": reference.known.digest, **subject.digests}
    if extractor:
        digests["extractor"] = extractor.digest
    return Result(
        metric=key,
        title=metric.title,
        better=metric.better,
        subject=subject.name,
        value=found.value,
        interval=found.interval,
        num_real=len(pair.real),
        num_fake=len(pair.fake),
        floor=floor,
        protocol=protocol,
        digests=digests,
        details=found.details,
        step=subject.step,
        weights=subject.weights,
        warnings=subject.warnings,
        seconds=seconds,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        facegan=__version__,
    )


def _check_alike(real: NDArray[np.uint8], fake: NDArray[np.uint8], real_name: str, fake_name: str) -> None:
    """Refuse images that cannot be compared; raises DataError."""
    if real.shape[1] != fake.shape[1]:
        kinds = {1: "grey", 3: "in colour"}
        raise DataError(
            f"{fake_name}: is {kinds[fake.shape[1]]}, {real_name} {kinds[real.shape[1]]}; compare images of one kind"
        )
    if real.shape[2:] != fake.shape[2:]:
        sizes = ["x".join(map(str, each.shape[:1:-1])) for each in (fake, real)]
        raise DataError(
            f"{fake_name}: has {sizes[0]} pixels, {real_name} has {sizes[1]}; compare images of one size "
            "(--resolution N brings both to one)"
        )
