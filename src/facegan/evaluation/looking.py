"""Each image through each extractor once, and the pairs of samples that metrics compare."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..features import Embedding, Extractor, embed
from .feature_cache import Say, embedded
from .pair import Pair, Sample
from .subjects import Progress, Reference, Rows, Subject

Tell = Callable[[str], Progress]  # what is begun -> (images done, of how many)


@dataclass(frozen=True, eq=False)
class Order:
    """Which images are compared, in the order in which they are looked at.

    Attributes:
        real: Rows of the reals.
        fake: Rows of the judged images.
        num_floor: The first so many of the reals take the place of the fakes in the floor, and as many fakes are
            compared with the rest of the reals beside them; 0: no floor is measured.
    """

    real: Rows
    fake: Rows
    num_floor: int


@dataclass(frozen=True, eq=False)
class Compared:
    """What one extractor's metrics compare.

    Attributes:
        whole: All reals and all fakes.
        reals: The rest of the reals and, as fakes, the floor's; None: no floor is measured.
        matched: The same rest and as many true fakes, without intervals; None as well.
    """

    whole: Pair
    reals: Pair | None = None
    matched: Pair | None = None


def ordered(reference: Reference, subject: Subject, *, seed: int, num_real: int, floor: bool) -> Order:
    """The order of an evaluation: that of the reals is drawn, that of the fakes is the subject's own.

    Args:
        reference: The reals.
        subject: What is judged.
        seed: Of the order of the reals.
        num_real: How many reals; 0: all.
        floor: Whether some are taken for the floor: as many as there are fakes, at most one half.
    """
    real = np.random.default_rng(seed).permutation(len(reference.pictures))[: num_real or None]
    fake = subject.order()
    return Order(real, fake, min(len(fake), len(real) // 2) if floor else 0)


def compared(
    order: Order,
    reference: Reference,
    subject: Subject,
    extractor: Extractor | None,
    *,
    seed: int = 0,
    intervals: bool = True,
    device: str = "cpu",
    tell: Tell | None = None,
    say: Say | None = None,
) -> Compared:
    """Look at all images once, the floor's first; what a whole says is the sum of what its two parts say.

    Args:
        order: Of the images.
        reference: The reals.
        subject: What is judged.
        extractor: None for metrics in pixels: nothing is looked at.
        seed: Of whatever the metrics draw.
        intervals: Whether intervals are wanted.
        device: Where metrics may compute that have no extractor; else it is the extractor's.
        tell: Called with what is begun; returns its progress callback.
        say: Called with one line when what was said of the reals cannot be kept.
    """
    num = order.num_floor
    known, where = reference.known, extractor.device if extractor else device

    def pair(real: Sample, fake: Sample, intervals: bool) -> Pair:
        return Pair(real, fake, known, intervals=intervals, device=where, seed=seed)

    def begun(what: str, extractor: Extractor) -> Progress | None:
        return tell(f"looking at {what} images ({extractor.title})") if tell else None

    def reals(rows: Rows) -> Embedding | None:
        if extractor is None or not len(rows):
            return None
        told = partial(begun, "real", extractor)
        return embedded(extractor, reference, rows, progress=told, say=say)

    def fakes(rows: Rows) -> Embedding | None:
        if extractor is None or not len(rows):
            return None
        return embed(extractor, subject.pictures, rows, progress=begun("generated", extractor))

    real_floor, real_rest = reals(order.real[:num]), reals(order.real[num:])
    fake_floor, fake_rest = fakes(order.fake[:num]), fakes(order.fake[num:])
    whole = pair(
        Sample(reference.pictures, order.real, _whole(real_floor, real_rest)),
        Sample(subject.pictures, order.fake, _whole(fake_floor, fake_rest)),
        intervals,
    )
    if not num:
        return Compared(whole)
    rest = Sample(reference.pictures, order.real[num:], real_rest)
    floor = Sample(reference.pictures, order.real[:num], real_floor)
    part = Sample(subject.pictures, order.fake[:num], fake_floor)
    return Compared(whole, pair(rest, floor, intervals), pair(rest, part, False))


def _whole(first: Embedding | None, rest: Embedding | None) -> Embedding | None:
    """What is said of the images of both parts, of which either may be empty."""
    parts = [part for part in (first, rest) if part is not None]
    return sum(parts[1:], start=parts[0]) if parts else None
