from typing import ClassVar

import numpy as np
import pytest

from facegan.data.image_set import ImageSet
from facegan.evaluation import Measurement, Metric, Pair, Sample
from facegan.features import Extractor
from facegan.reporter import Reporter


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


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals of memorisation need not be smooth."""
    monkeypatch.setattr("facegan.neighbours.memorisation.RESAMPLES", 100)


@pytest.fixture
def metrics():
    """Two metrics of one space and one of pixels."""
    Shift.pairs.clear()
    return {"shift": Shift(), "again": Shift(), "brightness": Brightness()}


@pytest.fixture
def means():
    """means() -> an extractor of the mean of each channel, and a list that grows by the images it embeds."""

    def make(**changes):
        embedded = []

        def see(images):
            embedded.extend(images.numpy())
            return images.float().mean((2, 3)), None

        settings = {"title": "means", "digest": "a" * 64, "resize": "none", "comparable": "nothing"}
        return Extractor(**{"key": "random", **settings, "num_features": 3, "see": see, **changes}), embedded

    return make


@pytest.fixture
def pair():
    """pair(real, fake) -> both sides of a comparison, the reals in the order of a seed."""

    def make(real, fake, *, seed=0, num_real=0, rows=None, **settings):
        reals = Sample.shuffled(ImageSet(real, "faces/", filter="bicubic"), seed, num_real)
        return Pair(reals, Sample(ImageSet(fake, "mine"), rows), seed=seed, **settings)

    return make


class Recorder(Reporter):
    def __init__(self):
        self.lines, self.tasks = [], []

    def info(self, line):
        self.lines.append(line)

    def progress(self, task, done, total, **_):
        self.tasks.append((task, done, total))


@pytest.fixture
def reporter():
    """A reporter that keeps its `lines`, and its `tasks` as (task, done, total)."""
    return Recorder()
