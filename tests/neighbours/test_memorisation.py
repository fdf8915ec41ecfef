import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from facegan.neighbours import NearestImages, measure_memorisation


def neighbours(distances, indices):
    distances = np.asarray(distances, np.float64)[:, None]
    return NearestImages(distances, np.asarray(indices)[:, None], np.zeros(distances.shape, bool))


def compared(samples, heldout, to_heldout=None, nearest=None, num_training=10):
    nearest = np.zeros((len(samples), 2), np.int64) if nearest is None else np.asarray(nearest)
    to_heldout = np.full(len(samples), np.inf) if to_heldout is None else to_heldout
    return measure_memorisation(
        neighbours(samples, nearest[:, 0]),
        neighbours(heldout, np.zeros(len(heldout), np.int64)),
        neighbours(to_heldout, nearest[:, 1]),
        num_training,
    )


@pytest.mark.parametrize(
    ("samples", "heldout", "nearer"),
    [
        ([1, 2], [3, 4], 1.0),
        ([3, 4], [1, 2], 0.0),
        ([1, 4], [2, 3], 0.5),
        ([1, 1], [1, 1], 0.5),  # ties count half
        ([1, 3, 5, 7], [2, 4, 6], 6 / 12),
    ],
)
def test_nearer_is_the_share_of_pairs_in_which_the_sample_is_nearer(samples, heldout, nearer):
    assert compared(samples, heldout).nearer.value == pytest.approx(nearer)


def test_nearer_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(0)
    samples, heldout = rng.integers(0, 40, 300), rng.integers(5, 45, 200)  # with ties
    statistic = mannwhitneyu(heldout, samples).statistic / (300 * 200)
    assert compared(samples, heldout).nearer.value == pytest.approx(statistic)


def test_interval_is_as_wide_as_theory_says_of_equal_distributions():
    rng = np.random.default_rng(0)
    n, m = 600, 300
    share = compared(rng.normal(size=n), rng.normal(size=m)).nearer
    deviation = ((n + m + 1) / (12 * n * m)) ** 0.5  # of U / (n m)
    assert share.interval[1] - share.interval[0] == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    assert share.interval[0] < 0.5 < share.interval[1]


def test_shares_below_quantiles_count_the_samples_nearer_than_the_nearest_held_out_images():
    heldout = np.arange(1001) / 1000  # its 5 % quantile is 0.05, its 1 % quantile 0.01
    samples = [0.001] * 3 + [0.02] * 7 + [0.9] * 90
    found = compared(samples, heldout)
    assert (found.below_5.value, found.below_1.value) == (0.10, 0.03)
    assert found.below_5.interval[0] < 0.10 < found.below_5.interval[1]


def test_a_few_copies_show_below_the_quantiles_though_the_others_are_far():
    rng = np.random.default_rng(0)
    heldout = rng.normal(10, 1, 1000)
    samples = np.concatenate([rng.normal(11, 1, 900), np.full(100, 0.1)])
    found = compared(samples, heldout)
    assert found.nearer.interval[1] < 0.5
    assert found.below_1.interval[0] > 0.05


def test_seen_is_the_share_of_samples_nearest_to_a_training_image():
    found = compared([1, 1, 1, 5], [1] * 30, to_heldout=[2, 2, 2, 2], nearest=[[0, 0], [1, 0], [2, 0], [3, 0]],
                     num_training=90)  # fmt: skip
    assert found.seen == 0.75
    assert found.seen_by_chance.value == 0.75
    low, high = found.seen_by_chance.interval
    assert low == pytest.approx(0.75 - 1.96 * (0.75 * 0.25 / 4) ** 0.5)  # the binomial's: four other images
    assert high == 1.0


def test_chance_is_wider_where_few_images_are_near_to_many_samples():
    num = 200
    each_its_own = np.stack([np.arange(num)] * 2, axis=1)
    one_for_all = np.zeros((num, 2), np.int64)
    widths = []
    for nearest in (each_its_own, one_for_all):
        low, high = compared([1.0] * num, [1.0] * 50, [2.0] * num, nearest, num_training=50).seen_by_chance.interval
        widths.append(high - low)
    assert widths[0] == pytest.approx(2 * 1.96 * 0.5 / num**0.5)
    assert widths[1] == 1.0


def test_chance_interval_covers_what_permuting_the_labels_gives():
    rng = np.random.default_rng(0)
    num_training, num_heldout, hubs = 80, 20, rng.zipf(1.7, 300) % 100  # some images near to many samples
    shares = []
    for _ in range(2000):
        trained = rng.permutation(num_training + num_heldout) < num_training
        shares.append(trained[hubs].mean())
    found = compared(np.zeros(300), np.zeros(num_heldout), np.ones(300), np.stack([hubs, hubs], 1), num_training)
    low, high = found.seen_by_chance.interval
    assert np.mean((np.array(shares) >= low) & (np.array(shares) <= high)) > 0.9


def test_medians_are_given_as_they_are():
    found = compared([1, 2, 9], [4, 5])
    assert (found.median_sample, found.median_heldout) == (2.0, 4.5)


def test_the_same_distances_give_the_same_intervals():
    rng = np.random.default_rng(0)
    samples, heldout = rng.normal(size=50), rng.normal(size=50)
    assert compared(samples, heldout) == compared(samples, heldout)


def test_shows_follows_the_bounds_of_chance():
    nearest = np.stack([np.arange(100)] * 2, axis=1)
    ones, twos = np.ones(100), np.full(100, 2.0)
    assert compared(ones, np.ones(100), twos, nearest, num_training=100).shows is True  # all of 100, of 0.5
    half = np.concatenate([twos[:50], np.zeros(50)])
    assert compared(ones, np.ones(100), half, nearest, num_training=100).shows is False
    assert compared(ones, np.ones(2), twos, nearest, num_training=100).shows is None  # 0.98 and up to 1 by chance
