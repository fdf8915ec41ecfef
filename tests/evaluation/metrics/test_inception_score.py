import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

from campaign import NUM_SIMULATIONS, assert_95_percent_coverage
from facegan.evaluation.metrics.inception_score import inception_score


def answers(num, *, classes=7, sure=3.0, seed=0):
    return (np.random.default_rng(seed).normal(0, sure, (num, classes))).astype(np.float32)


@pytest.mark.parametrize(("num", "splits"), [(50, 10), (53, 10), (31, 1), (20, 3)])
def test_torch_fidelity_gives_the_same_of_the_same_order(num, splits):
    theirs = isc_features_to_metric(torch.from_numpy(answers(num)), splits, shuffle=False)
    ours = inception_score(answers(num), num_splits=splits)
    assert ours.value == pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-12)
    assert ours.details["spread"] == pytest.approx(theirs[KEY_METRIC_ISC_STD], rel=1e-9, abs=1e-12)


def test_one_answer_for_all_scores_1_and_each_class_alike_scores_their_number():
    assert inception_score(np.tile(answers(1), (40, 1))).value == pytest.approx(1)
    sure = np.tile(np.eye(7) * 2000, (20, 1))  # so sure that all other classes have p = 0
    assert inception_score(sure, num_splits=4).value == pytest.approx(7)


def test_a_constant_added_to_an_images_logits_changes_nothing():
    logits = answers(60)
    moved = logits + np.arange(60, dtype=np.float32)[:, None]
    assert inception_score(moved).value == pytest.approx(inception_score(logits).value, rel=1e-5)


@NUM_SIMULATIONS
def test_intervals_cover_the_score_expected_of_as_many_fakes(num_simulations):
    assert_95_percent_coverage([inception_score(answers(200, seed=seed)) for seed in range(num_simulations)])


def test_one_split_has_no_interval():
    assert inception_score(answers(40), num_splits=1).interval is None
