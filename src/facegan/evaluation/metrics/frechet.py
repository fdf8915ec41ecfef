"""The Fréchet distance, in three spaces."""

from typing import ClassVar, Literal

from ...distances.frechet import frechet
from ..metric import Measurement, Metric
from ..pair import Pair


class FrechetRandom(Metric):
    """Fréchet distance of a small network's vectors whose weights are random: needs no download."""

    title: ClassVar[str] = "Fréchet distance, random network"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    space: ClassVar[str] = "random"

    def measure(self, pair: Pair) -> Measurement:
        """Of all pictures of both sides."""
        return Measurement(frechet(pair.real.seen.moments, pair.fake.seen.moments))
