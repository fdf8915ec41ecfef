from typing import ClassVar

import numpy as np
import pytest

from facegan.evaluation import Known, Measurement, Metric, Reference, Subject, digest_of
from facegan.features import Extractor


class Shift(Metric):
    """How far the mean vector of the fakes lies from that of the reals."""

    title: ClassVar[str] = "shift"
    better: ClassVar[str] = "lower"
    space: ClassVar[str] = "random"
    pairs: ClassVar[list] = []

    def measure(self, pair):
        self.pairs.append(pair)
        return Measurement(float(np.linalg.norm(pair.real.seen.moments.mean - pair.fake.seen.moments.mean)))


class Brightness(Metric):
    """The fakes' mean pixel."""

    title: ClassVar[str] = "brightness"
    comparable: ClassVar[str] = "a photometer"
    better: ClassVar[str] = "nearer"

    def measure(self, pair):
        return Measurement(float(pair.fake.take(0, len(pair.fake)).mean()))


@pytest.fixture
def metrics():
    """Two metrics of one space and one in pixels."""
    Shift.pairs.clear()
    return {"shift": Shift(), "again": Shift(), "brightness": Brightness()}


@pytest.fixture
def means():
    """means() -> an extractor of the mean of each channel, and a list that grows by the images it is shown."""

    def make(**changes):
        shown = []

        def see(pictures):
            shown.extend(pictures.numpy())
            return pictures.float().mean((2, 3)), None

        settings = {"title": "means", "digest": "a" * 64, "resize": "none", "comparable": "nothing"}
        return Extractor(**{"key": "random", **settings, "num_features": 3, "see": see, **changes}), shown

    return make


@pytest.fixture
def reference():
    """reference(images) -> these as the reals."""

    def make(pictures, **known):
        return Reference(pictures, "none", "bicubic", "faces/", Known(digest=digest_of(pictures), **known))

    return make


@pytest.fixture
def subject():
    """subject(images) -> these as what is judged."""

    def make(pictures, **more):
        return Subject("mine", pictures, {"fake": digest_of(pictures)}, **more)

    return make
