"""Real pictures and fakes -> vectors -> metrics -> results."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import DataError
from ..features import Extractor, embed
from .metric import Measurement, Metric
from .pair import Pair, Sample
from .results import Floor, Result
from .subjects import Reference, Subject

FEW = 2048  # samples: below, a covariance of Inception's 2,048 features is singular and FID hardly says anything

Tell = Callable[[str], Callable[[int, int], None]]  # what is begun -> (pictures done, of how many)


def evaluate(
    metrics: Mapping[str, Metric],
    reference: Reference,
    subject: Subject,
    extractors: Mapping[str, Extractor],
    *,
    seed: int = 0,
    num_real: int = 0,
    floor: bool = True,
    tell: Tell | None = None,
    refuse: Callable[[str], None] | None = None,
) -> list[Result]:
    """Measure a subject against real pictures, in titled steps: check, order, look, measure, compare with the floor.

    Args:
        metrics: By their keys; those whose pictures do not suffice are passed to `refuse`.
        reference: The reals.
        subject: What is judged.
        extractors: By space, for every space that the metrics name but "pixels".
        seed: Of the order of the reals, and of whatever metrics draw.
        num_real: How many reals, drawn at random; 0: all.
        floor: Whether to measure reals against reals.
        tell: Called with what is begun; returns its progress callback.
        refuse: Called with one line for each metric that cannot be measured; None raises it instead.

    Raises:
        DataError: Sizes or channels differ, or a metric cannot be measured and `refuse` is None.
    """
    _check_alike(reference.pictures, subject.pictures, reference.source, subject.name)
    order = np.random.default_rng(seed).permutation(len(reference.pictures))[: num_real or None]
    # The floor's fakes come first, so that as many reals are left as can be.
    fakes = subject.order()
    num_floor = min(len(fakes), len(order) // 2)
    parts = {"floor": order[:num_floor], "rest": order[num_floor:]}
    results = []
    for space in dict.fromkeys(metric.space for metric in metrics.values()):
        chosen = {key: metric for key, metric in metrics.items() if metric.space == space}
        extractor = extractors.get(space)

        def sample(
            name: str, pictures: NDArray[np.uint8], rows: NDArray[np.int64], e: Extractor | None = extractor
        ) -> Sample:
            seen = None if e is None else embed(e, pictures, rows, progress=tell and tell(f"looking at {name}"))
            return Sample(pictures, rows, seen)

        fake = sample("generated pictures", subject.pictures, fakes)
        real = sample("real pictures", reference.pictures, order)
        device = extractor.device if extractor else "cpu"
        pair = Pair(real, fake, reference.known, device=device, seed=seed)
        yardstick = None
        if floor and num_floor:
            rest = sample("real pictures", reference.pictures, parts["rest"])
            other = sample("real pictures", reference.pictures, parts["floor"])
            part = sample("generated pictures", subject.pictures, fakes[:num_floor])
            yardstick = (
                Pair(rest, other, reference.known, device=device, seed=seed),
                Pair(rest, part, reference.known, intervals=False, device=device, seed=seed),
            )
        for key, metric in chosen.items():
            if why := metric.lacks(pair):
                if refuse is None:
                    raise DataError(f"{key}: {why}")
                refuse(f"{key}: {why}")
                continue
            began = time.perf_counter()
            found = metric.measure(pair)
            level = _floor(metric, *yardstick) if yardstick and metric.has_floor else None
            results.append(_result(key, metric, found, level, pair, reference, subject, extractor, began))
    return results


def _floor(metric: Metric, reals: Pair, matched: Pair) -> Floor | None:
    if metric.lacks(reals):
        return None
    found, fakes = metric.measure(reals), metric.measure(matched)
    return Floor(
        value=found.value,
        interval=found.interval,
        num_real=len(reals.real),
        num_fake=len(reals.fake),
        matched=fakes.value,
        ratio=fakes.value / found.value if found.value else None,
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
    began: float,
) -> Result:
    channels, resolution = subject.pictures.shape[1:3]
    protocol: dict[str, Any] = {
        "resolution": resolution,
        "channels": channels,
        "crop": reference.crop,
        "filter": reference.filter,
        "resize": extractor.resize if extractor else "none",
        "extractor": extractor.title if extractor else "pixels",
        "comparable": extractor.comparable if extractor else "any tool with the same protocol",
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
        seconds=time.perf_counter() - began,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        facegan=__version__,
    )


def _check_alike(real: NDArray[np.uint8], fake: NDArray[np.uint8], real_name: str, fake_name: str) -> None:
    """Refuse pictures that cannot be compared; raises DataError."""
    if real.shape[1] != fake.shape[1]:
        kinds = {1: "grey", 3: "in colour"}
        raise DataError(
            f"{fake_name}: is {kinds[fake.shape[1]]}, {real_name} {kinds[real.shape[1]]}; compare pictures of one kind"
        )
    if real.shape[2:] != fake.shape[2:]:
        sizes = ["x".join(map(str, each.shape[:1:-1])) for each in (fake, real)]
        raise DataError(
            f"{fake_name}: has {sizes[0]} pixels, {real_name} has {sizes[1]}; compare pictures of one size "
            "(--resolution N brings both to one)"
        )
