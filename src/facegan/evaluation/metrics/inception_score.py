"""The Inception Score."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ...distances.inception_score import inception_score
from ..metric import Measurement
from ..pair import Pair
from .vectors import VectorMetric


class InceptionScore(VectorMetric):
    """How sure Inception is of each face and how various its answers are; no real image counts.

    It knows things, not faces: read it beside the real images' own score.

    Attributes:
        num_splits: Disjoint parts over which it is a mean; the score rises with the images in a part.
    """

    title: ClassVar[str] = "Inception Score"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "higher"
    space: ClassVar[str] = "inception"

    num_splits: int = Field(default=10, ge=1)

    def lacks(self, pair: Pair) -> str | None:
        """Two images a part, and a network that names classes."""
        if pair.fake.embedding is not None and pair.fake.embedding.logits is None:
            return f"needs a network that names classes (the {self.space} network gives vectors alone)"
        if len(pair.fake) < 2 * self.num_splits:
            return f"needs at least {2 * self.num_splits:,} generated images (there are {len(pair.fake):,})"
        return super().lacks(pair)

    def measure(self, pair: Pair) -> Measurement:
        """Of the fakes whose logits were kept, shuffled by the seed: files may be sorted by what they show."""
        logits = pair.fake.seen.logits
        assert logits is not None, "lacks() says so before"
        order = np.random.RandomState(pair.seed % 2**32).permutation(len(logits))
        found = inception_score(logits[order], num_splits=self.num_splits, interval=pair.intervals)
        return Measurement(found.value, found.interval, {"spread": found.spread, "used_fake": len(logits)})
