"""The Inception Score: how sure a classifier is of each image, and how various its answers are."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import log_softmax
from scipy.stats import t

from ..metric import Measurement, Metric, Pair


def inception_score(logits: NDArray[np.floating], *, num_splits: int = 10) -> Measurement:
    """The mean over splits of exp(E KL(p(y|x) || p(y))), p(y) the mean of p(y|x) over the split, in float64.

    1 where all answers are alike, at most the number of classes. It rises with the images in a split. Splits are
    consecutive parts of the logits (n, classes), which come in random order. Their values are independent: the interval
    is Student's for their mean. "spread" is the standard deviation over them, which other tools print.

    Source: Salimans et al., "Improved techniques for training GANs", NeurIPS 2016, section 4.
    """
    scores = np.empty(num_splits)
    for number in range(num_splits):
        part = logits[number * len(logits) // num_splits : (number + 1) * len(logits) // num_splits]
        log_p = log_softmax(part.astype(np.float64), axis=1)
        p = np.exp(log_p)
        # A class whose probability is 0 for every image of the split has p(y) = 0, and adds nothing.
        log_mean = np.log(np.maximum(p.mean(0), np.finfo(np.float64).tiny))
        scores[number] = np.exp((p * (log_p - log_mean)).sum(1).mean())
    value, spread = float(scores.mean()), float(scores.std())
    details = {"spread": spread, "used_fake": len(logits)}
    if num_splits < 2:
        return Measurement(value, None, details)
    margin = float(t.ppf(0.975, num_splits - 1)) * spread / np.sqrt(num_splits - 1)
    return Measurement(value, (max(1.0, value - margin), value + margin), details)


class InceptionScore(Metric):
    """How sure Inception is of each face and how various its answers are; no real image counts.

    It knows things, not faces: read it next to the real images' own score.
    """

    title: ClassVar[str] = "Inception Score"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "higher"
    space: ClassVar[str] = "inception"

    num_splits: int = Field(default=10, ge=1)  # the score is their mean; it rises with the images per part

    def lacks(self, pair: Pair) -> str | None:
        """Require two images a part, and a network that names classes."""
        if pair.fake.embedding is not None and pair.fake.embedding.logits is None:
            return f"needs a network that names classes (the {self.space} network gives vectors alone)"
        if len(pair.fake) < 2 * self.num_splits:
            return f"needs at least {2 * self.num_splits:,} generated images (there are {len(pair.fake):,})"
        return super().lacks(pair)

    def measure(self, pair: Pair) -> Measurement:
        """Score the fakes whose logits were kept, shuffled by the seed: files may be sorted by their content."""
        logits = pair.fake.seen.logits
        assert logits is not None, "lacks() refuses a network without classes"
        order = np.random.RandomState(pair.seed % 2**32).permutation(len(logits))
        return inception_score(logits[order], num_splits=self.num_splits)
