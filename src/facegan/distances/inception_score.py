"""The Inception Score: how sure a classifier is of each image, and how various its answers are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import t

from .estimate import Estimate


@dataclass(frozen=True)
class InceptionScore(Estimate):
    """The mean over disjoint splits.

    Attributes:
        spread: Standard deviation over the splits, which other tools print beside the value.
    """

    spread: float = 0.0


def inception_score(logits: NDArray[np.floating], *, num_splits: int = 10, interval: bool = True) -> InceptionScore:
    """The mean over splits of exp(E KL(p(y|x) || p(y))), p(y) the mean of p(y|x) over the split, in float64.

    1 where all answers are alike, at most the number of classes. It rises with the images in a split. Splits are
    disjoint, so that their values are independent: the interval is Student's for their mean.

    Source: Salimans et al., "Improved techniques for training GANs", NeurIPS 2016, section 4.

    Args:
        logits: (n, classes), n >= num_splits, in an order that says nothing.
        num_splits: Consecutive parts, as equal as can be.
        interval: Whether to give one; it takes two splits.
    """
    scores = np.empty(num_splits)
    for number in range(num_splits):
        part = logits[number * len(logits) // num_splits : (number + 1) * len(logits) // num_splits]
        log_p = log_softmax(part.astype(np.float64), axis=1)
        p = np.exp(log_p)
        # A class that no image of the split was given any part of has p(y) = 0, and adds nothing.
        log_mean = np.log(np.maximum(p.mean(0), np.finfo(np.float64).tiny))
        scores[number] = np.exp((p * (log_p - log_mean)).sum(1).mean())
    value, spread = float(scores.mean()), float(scores.std())
    if not interval or num_splits < 2:
        return InceptionScore(value, None, spread)
    margin = float(t.ppf(0.975, num_splits - 1)) * spread / np.sqrt(num_splits - 1)
    return InceptionScore(value, (max(1.0, value - margin), value + margin), spread)
