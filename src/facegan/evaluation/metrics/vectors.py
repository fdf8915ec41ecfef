"""What the metrics of vectors have in common."""

import numpy as np

from ..metric import Metric
from ..pair import Pair


class VectorMetric(Metric):
    """A metric that compares an extractor's vectors."""

    def lacks(self, pair: Pair) -> str | None:
        """Pictures, or numbers: of a network that has diverged, the vectors are none.

        Asked before images are looked at, it speaks of their number alone.
        """
        for side, sample in (("real", pair.real), ("generated", pair.fake)):
            if sample.embedding is not None and not np.isfinite(sample.embedding.moments.mean).all():
                return f"the {self.space} network's vectors of {side} images are not finite"
        return super().lacks(pair)
