import itertools

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import binom, mannwhitneyu

from campaign import assert_95_percent_coverage, short_and_long
from facegan.neighbours import NearestImages, measure_memorisation, memorisation


def neighbours(distances, indices):
    distances = np.asarray(distances, np.float64)[:, None]
    return NearestImages(distances, np.asarray(indices)[:, None], np.zeros(distances.shape, bool))


def compared(samples, heldout, to_heldout=None, nearest=None, num_training=10, people=None):
    """Measure distances; `people` are the persons of training and of held-out images, by default one an image."""
    nearest = np.zeros((len(samples), 2), np.int64) if nearest is None else np.asarray(nearest)
    to_heldout = np.full(len(samples), np.inf) if to_heldout is None else to_heldout
    return measure_memorisation(
        neighbours(samples, nearest[:, 0]),
        neighbours(heldout, np.zeros(len(heldout), np.int64)),
        neighbours(to_heldout, nearest[:, 1]),
        (np.arange(num_training), np.arange(len(heldout))) if people is None else tuple(map(np.asarray, people)),
    )


def labelled(is_training, person, nearest, by_image=False):
    """Measure samples whose nearest image of all is `nearest`, when the images `is_training` were trained on.

    With `by_image`, as if each image were another person's.
    """
    place = np.where(is_training, np.cumsum(is_training), np.cumsum(~is_training)) - 1  # on its own side
    trained = is_training[nearest]
    sides = [person[is_training], person[~is_training]]
    people = [np.arange(len(side)) if by_image else np.unique(side, return_inverse=True)[1] for side in sides]
    return compared(np.where(trained, 0, 2), np.ones(len(sides[1])), np.ones(len(nearest)),
                    np.where(trained, [place[nearest], 0 * nearest], [0 * nearest, place[nearest]]).T,
                    people=people)  # fmt: skip


def sizes_like_lfw(num_people):
    """Images per person, as in LFW: 71 % of people have one image, and the first has 4 % of all images."""
    rank = np.arange(1, num_people + 1)
    return np.where(rank <= 0.292 * num_people, np.maximum(2, 530 / 5749 * num_people / rank**0.81).round(), 1).astype(
        int
    )


def population(num_people, num_samples, seed, *, fresh):
    """Persons of images in six dimensions, and the image nearest to each sample: of new people, or of the same ones."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(num_people), sizes_like_lfw(num_people))
    faces = rng.normal(size=(num_people, 6))
    images = faces[person] + 0.4 * rng.normal(size=(len(person), 6))
    shown = rng.normal(size=(num_samples, 6)) if fresh else faces[rng.choice(person, num_samples)]
    samples = shown + 0.4 * rng.normal(size=(num_samples, 6))
    return person, cKDTree(images).query(samples)[1]


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
        low, high = compared([1.0] * num, [1.0] * num, [2.0] * num, nearest, num_training=num).seen_by_chance.interval
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


def test_bounds_of_chance_are_those_of_people_not_of_images():
    # Three training people with 4, 1 and 1 images and a held-out one with 2; 6 samples are nearest to the first's.
    nearest = [[0, 0], [1, 0], [2, 0], [3, 0], [0, 0], [1, 0], [4, 0], [5, 0]]
    found = compared([0] * 8, [1, 1], [1] * 8, nearest, people=([0, 0, 0, 0, 1, 2], [0, 0]))
    assert found.seen_by_chance.value == 0.75  # of images
    influence = np.array([6, 1, 1, 0]) / 8 - np.array([4, 1, 1, 2]) / 8
    margin = 1.96 * (0.75 * 0.25 * (np.square(influence).sum() + 1 / 8)) ** 0.5
    assert found.seen_by_chance.interval == pytest.approx((0.75 - margin, 1.0))
    assert found.shows is None  # one person of four is held out: that decides nothing


def test_variance_of_people_is_that_of_all_their_labels():
    images, samples = np.array([9, 4, 2, 1, 1, 1]), np.array([2, 6, 1, 0, 3, 0])
    influence = samples / samples.sum() - images / images.sum()
    differences = []
    for trained in itertools.product([False, True], repeat=6):
        share, is_trained = 2 / 3, np.array(trained)
        differences.append((share ** is_trained.sum() * (1 - share) ** (~is_trained).sum(), influence @ is_trained))
    weight, difference = np.array(differences).T
    assert weight @ difference == pytest.approx(0)
    person = np.repeat(np.arange(6), images)
    is_training = np.isin(person, [0, 2, 3, 5])
    nearest = np.searchsorted(person, np.repeat(np.arange(6), samples))
    low, high = labelled(is_training, person, nearest).seen_by_chance.interval
    assert high == 1.0
    without_correction = ((13 / 18 - low) / 1.96) ** 2 - 2 / 9 / 18
    assert without_correction == pytest.approx(weight @ difference**2)


@pytest.mark.parametrize("num_simulations", short_and_long(160, "CAMPAIGN_SIMULATIONS", 5000))
@pytest.mark.parametrize("fresh", [True, False], ids=["new people", "the same people"])
def test_a_generator_that_has_seen_nobody_is_within_the_bounds_and_not_accused(num_simulations, fresh, monkeypatch):
    monkeypatch.setattr(memorisation, "RESAMPLES", 1)
    monkeypatch.setattr(memorisation, "DRAWS", 2000)
    rng, found, by_image = np.random.default_rng(0), [], []
    for number in range(num_simulations):
        if number % 20 == 0:
            person, nearest = population(5749, 2000, number, fresh=fresh)
        is_training = (rng.random(person.max() + 1) < 0.9)[person]
        found.append(labelled(is_training, person, nearest))
        if fresh:
            by_image.append(labelled(is_training, person, nearest, by_image=True))
    covered, accused = rates(found)
    assert covered == pytest.approx(0.955, abs=0.03)
    assert accused * num_simulations <= binom.ppf(0.999, num_simulations, 1 / 2000)
    if fresh:  # then bounds that take images for independent are too narrow
        covered, accused = rates(by_image)
        assert covered < 0.85
        assert accused > 0.01


def rates(found):
    """Return the share of measures within the bounds of chance, and of those that show memorisation."""
    within = [each.seen_by_chance.interval[0] <= each.seen <= each.seen_by_chance.interval[1] for each in found]
    return np.mean(within), np.mean([each.shows is True for each in found])


def test_copies_are_accused_though_people_have_many_images():
    rng = np.random.default_rng(1)
    for fresh in (True, False):
        person, nearest = population(5749, 2000, 0, fresh=fresh)
        is_training = (rng.random(person.max() + 1) < 0.9)[person]
        nearest[:1400] = rng.choice(np.flatnonzero(is_training), 1400)
        assert labelled(is_training, person, nearest).shows is True


def test_resampled_people_bring_all_their_images():
    rng = np.random.default_rng(0)
    samples, heldout = rng.normal(size=80), rng.normal(size=50)
    once = compared(samples, heldout)
    repeated = [np.repeat(each, 4) for each in (heldout, np.arange(50))]
    fourfold = compared(samples, repeated[0], people=(np.arange(10), repeated[1]))
    assert fourfold.nearer.value == pytest.approx(once.nearer.value)
    assert fourfold.nearer.interval == pytest.approx(once.nearer.interval)
    as_images = compared(samples, repeated[0]).nearer.interval
    assert as_images[1] - as_images[0] < 0.9 * (once.nearer.interval[1] - once.nearer.interval[0])


@pytest.mark.parametrize("num_simulations", short_and_long(40, "CAMPAIGN_SIMULATIONS", 2000))
def test_interval_of_nearer_covers_what_other_held_out_people_give(num_simulations, monkeypatch):
    monkeypatch.setattr(memorisation, "RESAMPLES", 100)
    person, found = np.repeat(np.arange(100), sizes_like_lfw(2000)[5:105]), []  # with 4 to 43 images
    for seed in range(num_simulations):
        rng = np.random.default_rng(seed)
        heldout = rng.normal(size=100)[person] + 0.5 * rng.normal(size=len(person))
        found.append(compared(rng.normal(size=300) * 1.25**0.5, heldout, people=(np.arange(10), person)).nearer)
    assert_95_percent_coverage(found)
