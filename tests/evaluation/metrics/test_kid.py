import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from campaign import NUM_SIMULATIONS, assert_95_percent_coverage
from facegan.evaluation.metrics.kid import kernel_distance


def normal(num, seed, *, shift=0.0, scale=1.0, width=8):
    return (np.random.default_rng(seed).normal(0, 1, (num, width)) * scale + shift).astype(np.float32)


def literal(real, fake):
    """The unbiased estimate as it is written, term by term."""

    def k(x, y):
        return (float(x.astype(np.float64) @ y.astype(np.float64)) / len(x) + 1) ** 3

    within = [
        np.mean([k(side[i], side[j]) for i in range(len(side)) for j in range(len(side)) if i != j])
        for side in (real, fake)
    ]
    return sum(within) - 2 * np.mean([k(x, y) for x in real for y in fake])


def test_one_subset_of_all_is_the_estimate_of_the_paper():
    real, fake = normal(9, 0), normal(9, 1, shift=0.5)
    assert kernel_distance(real, fake).value == pytest.approx(literal(real, fake), rel=1e-5)


@pytest.mark.parametrize(("num_subsets", "subset_size", "seed"), [(5, 20, 0), (12, 33, 7)])
def test_torch_fidelity_gives_the_same_of_the_same_seed(num_subsets, subset_size, seed):
    real, fake = normal(60, 0), normal(45, 1, shift=0.4)
    theirs = kid_features_to_metric(
        torch.from_numpy(fake),
        torch.from_numpy(real),
        kid_subsets=num_subsets,
        kid_subset_size=subset_size,
        rng_seed=seed,
        verbose=False,
    )
    ours = kernel_distance(real, fake, num_subsets=num_subsets, subset_size=subset_size, seed=seed)
    assert ours.value == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-4)
    assert ours.details["spread"] == pytest.approx(theirs[KEY_METRIC_KID_STD], rel=1e-4)


def test_equal_distributions_are_nothing_apart_on_average():
    values = [kernel_distance(normal(40, 2 * seed), normal(40, 2 * seed + 1)).value for seed in range(100)]
    error = np.std(values) / len(values) ** 0.5
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < -error < error < max(values)


def test_few_images_give_the_distance_of_many_on_average():
    expected = np.mean([kernel_distance(normal(300, s), normal(300, s + 50, shift=0.5)).value for s in range(8)])
    few = [kernel_distance(normal(10, s), normal(10, s + 1000, shift=0.5)).value for s in range(150)]
    assert np.mean(few) == pytest.approx(expected, abs=3 * np.std(few) / 150**0.5)


def test_a_subset_is_no_larger_than_the_smaller_side():
    assert kernel_distance(normal(30, 0), normal(12, 1), num_subsets=3).details["used_subset_size"] == 12
    assert kernel_distance(normal(9, 0), normal(12, 1), num_subsets=3).details["used_subset_size"] == 9
    assert kernel_distance(normal(30, 0), normal(30, 1), num_subsets=3, subset_size=5).details["used_subset_size"] == 5


@NUM_SIMULATIONS
@pytest.mark.parametrize(("num", "shift"), [(50, 0.0), (200, 0.5)])
def test_intervals_cover_the_distance_expected_with_these_reals(num, shift, num_simulations):
    real = normal(300, 0)
    assert_95_percent_coverage(
        [
            kernel_distance(real, normal(num, seed, shift=shift), num_subsets=10, subset_size=50, seed=seed)
            for seed in range(1, num_simulations + 1)
        ]
    )
