import numpy as np
import pytest

from campaign import NUM_SIMULATIONS, assert_95_percent_coverage
from facegan.evaluation.metric import Measurement
from facegan.evaluation.metrics.attributes import (
    joint_shares,
    one_hot,
    variation,
    variation_by_chance,
    variation_interval,
)

SIZES = np.array([2, 3, 2])


def answers(num, seed, turned=0.0):
    """Answers of `num` to three questions, which depend on each other; a share of the first is turned round."""
    rng = np.random.default_rng(seed)
    first = (rng.uniform(size=num) < 0.3).astype(int)
    second = (rng.integers(0, 2, num) + first) % 3
    turn = rng.uniform(size=num) < turned
    return np.stack([np.where(turn, 1 - first, first), second, (rng.uniform(size=num) < 0.5).astype(int)], 1)


def table(num, seed, turned=0.0):
    return one_hot(answers(num, seed, turned), SIZES)


def difference(one, other):
    return joint_shares(one) - joint_shares(other)


def test_variation_is_the_mean_of_the_pairs_total_variation_distances():
    one, other = answers(200, 0), answers(300, 1, 0.5)
    distances = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        found = [((each[:, a] == x) & (each[:, b] == y)).mean() for each in (one, other) for x in range(SIZES[a])
                 for y in range(SIZES[b])]  # fmt: skip
        distances.append(np.abs(np.subtract(*np.split(np.array(found), 2))).sum() / 2)
    got = variation(difference(table(200, 0), table(300, 1, 0.5)), SIZES)
    assert got == pytest.approx(np.mean(distances))


def test_variation_is_0_for_the_same_proportions_and_1_for_no_combination_in_common():
    one = table(100, 0)
    assert variation(difference(one, np.concatenate([one, one])), SIZES) == pytest.approx(0)
    never, always = (one_hot(np.full((9, 3), answer), SIZES) for answer in (0, 1))
    assert variation(difference(never, always), SIZES) == 1


def test_variation_of_one_question_is_its_own_distance():
    sizes = np.array([2])
    one, other = (one_hot(np.arange(10)[:, None] // split, sizes) for split in (5, 8))
    assert variation(difference(one, other), sizes) == pytest.approx(0.3)


@NUM_SIMULATIONS
def test_intervals_cover_the_variation_expected_of_as_many_fakes(num_simulations):
    real, found = table(3000, 0), []
    for seed in range(1, num_simulations + 1):
        fake = table(400, seed, 0.4)
        apart = difference(fake, real)
        interval = variation_interval(fake, apart, SIZES)
        found.append(Measurement(variation(apart, SIZES), interval))
        assert interval[0] < found[-1].value < interval[1]
    assert_95_percent_coverage(found)
    widths = [high - low for low, high in (each.interval for each in found)]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std([each.value for each in found]), rel=0.15)


def test_chance_is_what_two_samples_of_one_distribution_give():
    values = [variation(difference(table(300, seed), table(200, seed + 500)), SIZES) for seed in range(60)]
    dealt = variation_by_chance(table(300, 7), table(200, 8), SIZES, seed=0)
    assert dealt.mean() == pytest.approx(np.mean(values), rel=0.1)
    assert variation_by_chance(table(200, 8), table(300, 7), SIZES, seed=1).mean() == pytest.approx(
        dealt.mean(), rel=0.1
    )
