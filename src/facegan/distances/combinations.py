"""How two sets differ in what is combined with what: answers in, a distance of all their pairs out."""

import numpy as np
from numpy.typing import NDArray

REPEATS = 100  # of dealing the two sets out anew
USUAL = 1.96  # standard deviations: 95 %


def cells(answers: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Answers (n, questions), each from 0 to the question's size, as 0 and 1 in a cell each: (n, sizes.sum())."""
    table = np.zeros((len(answers), int(sizes.sum())), np.float32)
    table[np.arange(len(answers))[:, None], answers + (np.cumsum(sizes) - sizes)] = 1
    return table


def shares(table: NDArray[np.float32]) -> NDArray[np.float64]:
    """Which share of a set has both of two answers: (cells, cells), on the diagonal who has the one."""
    both: NDArray[np.float64] = (table.T @ table).astype(np.float64)
    return both / len(table)


def variation(difference: NDArray[np.float64], sizes: NDArray[np.int64]) -> float:
    """The total variation distance between the joint shares of two questions, in the mean over all pairs of questions.

    Of one pair of questions it is half the sum of |p - q| over the combinations of their answers: the share of one set
    that would have to answer differently for the combinations to be as frequent as in the other.

    Args:
        difference: Of the `shares` of both sets.
        sizes: Answers to each question; of a single one, its own distance is taken.
    """
    return float((_weights(sizes) * np.abs(difference)).sum())


def interval(
    judged: NDArray[np.float32], difference: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[float, float]:
    """The 95 % interval of `variation` if others were judged, the other set staying as it is.

    The distance is a mean over those who are judged, once it is known which combinations they have too often:
    (1/n) sum_i sum_(cells a, b of i) w_ab sign_ab, up to a constant. Its standard error is that of this mean.

    Args:
        judged: Cells (n, cells), of which the difference's first shares are.
        difference: Their shares less those of the other set.
        sizes: As in `variation`.
    """
    signs = (_weights(sizes) * np.sign(difference)).astype(np.float32)
    each = ((judged @ signs) * judged).sum(1, dtype=np.float64)
    value, margin = variation(difference, sizes), USUAL * float(each.std()) / len(each) ** 0.5
    return max(0.0, value - margin), min(1.0, value + margin)


def by_chance(
    one: NDArray[np.float32], other: NDArray[np.float32], sizes: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """What `variation` is between two sets of these sizes that do not differ: (REPEATS,), both dealt out anew.

    Small sets differ by chance, the more so the more combinations there are.
    """
    rng = np.random.default_rng(seed)
    everyone = np.concatenate([one, other])
    fewer = min(len(one), len(other))
    rest = len(everyone) - fewer
    total = (everyone.T @ everyone).astype(np.float64)
    found = []
    for _ in range(REPEATS):
        part = everyone[rng.choice(len(everyone), fewer, replace=False)]
        dealt = (part.T @ part).astype(np.float64)
        found.append(variation(dealt / fewer - (total - dealt) / rest, sizes))
    return np.array(found)


def _weights(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half of one over the number of pairs, at the cells of each pair of questions once: (cells, cells)."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    pairs = owner[:, None] < owner if len(sizes) > 1 else np.eye(len(owner), dtype=bool)
    num_pairs = max(1, len(sizes) * (len(sizes) - 1) // 2)
    return pairs / (2.0 * num_pairs)
