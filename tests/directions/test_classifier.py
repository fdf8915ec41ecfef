import math

import pytest
import torch

from facegan.directions.classifier import auc, build, judge


def test_auc_is_the_share_of_pairs_in_the_right_order():
    scores, labels = torch.tensor([0.1, 0.4, 0.4, 0.9, 0.2]), torch.tensor([0, 1, 0, 1, 1])
    # Pairs (with, without): 0.4 > 0.1, 0.4 = 0.4, 0.9 > both, 0.2 > 0.1, 0.2 < 0.4.
    assert auc(scores, labels) == pytest.approx((1 + 0.5 + 2 + 1) / 6)
    assert math.isnan(auc(scores, torch.ones(5)))


def test_score_counts_only_what_is_known():
    logits = torch.tensor([2.0, -1.0, 3.0, -2.0, 5.0, -5.0])
    answers = torch.tensor([1.0, 1.0, 0.0, 0.0, float("nan"), 0.0])
    score = judge("smile", logits, answers)
    assert (score.name, score.num) == ("smile", 5)
    assert score.base_rate == pytest.approx(3 / 5)
    assert score.accuracy == pytest.approx(3 / 5)
    assert score.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_network_gives_a_logit_an_attribute_at_any_size(resolution, channels):
    network = build(resolution, channels, 5).eval()
    assert network(torch.zeros(2, channels, resolution, resolution)).shape == (2, 5)
