import math

import numpy as np
import pytest
import torch

from counted import Counted
from described import painter, paintings
from facegan.data.split import is_held_out
from facegan.directions.classifier import (
    AttributeClassifier,
    AttributeScore,
    auc,
    build_network,
    fit_network,
    held_out_rows,
    score_attribute,
    train_classifier,
)
from facegan.errors import DataError


def test_auc_is_the_share_of_pairs_in_the_right_order():
    scores, labels = torch.tensor([0.1, 0.4, 0.4, 0.9, 0.2]), torch.tensor([0, 1, 0, 1, 1])
    # Pairs (with, without): 0.4 > 0.1, 0.4 = 0.4, 0.9 > both, 0.2 > 0.1, 0.2 < 0.4.
    assert auc(scores, labels) == pytest.approx((1 + 0.5 + 2 + 1) / 6)
    assert math.isnan(auc(scores, torch.ones(5)))


def test_score_counts_only_known_labels():
    logits = torch.tensor([2.0, -1.0, 3.0, -2.0, 5.0, -5.0])
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0, float("nan"), 0.0])
    found = score_attribute("smile", logits, labels)
    assert (found.name, found.num) == ("smile", 5)
    assert found.base_rate == pytest.approx(3 / 5)
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize(("resolution", "channels"), [(8, 3), (64, 1), (128, 3)])
def test_network_gives_one_logit_per_attribute_at_any_size(resolution, channels):
    network = build_network(resolution, channels, 5).eval()
    assert network(torch.zeros(2, channels, resolution, resolution)).shape == (2, 5)


def test_attributes_with_a_low_auc_or_no_score_are_not_usable():
    good = AttributeScore(name="hat", num=50, base_rate=0.5, accuracy=0.9, balanced_accuracy=0.9, auc=0.75)
    poor = good.model_copy(update={"name": "nose", "auc": 0.7499})
    classifier = AttributeClassifier(torch.nn.Identity(), ["hat", "nose", "rare"], {"hat": good, "nose": poor})
    assert classifier.usable() == (
        ["hat"],
        {
            "nose": "the classifier hardly recognises it (held-out AUC 0.75, below 0.75)",
            "rare": "fewer than 10 held-out images of either kind",
        },
    )


def test_classifier_recognises_attributes_of_unseen_people_and_reports_how_well(trained):
    classifier = trained.classifier
    assert trained.labels.names == classifier.names == ["bright", "lit"]
    assert not trained.is_cached
    held = held_out_rows(trained.images)
    for name in classifier.names:
        found = classifier.scores[name]
        assert found.num == held.sum()
        assert found.auc > 0.93
        assert found.accuracy > found.base_rate + 0.2
    z = torch.zeros(2, 8)
    z[0, 0], z[1, 0] = 2, -2
    assert classifier.logits(painter().images(z))[:, 0].sign().tolist() == [1, -1]
    assert trained.counts[-1][0] == trained.counts[-1][1]


def test_cached_classifier_is_the_same_and_so_is_one_that_is_trained_again(one_epoch, tmp_path, cache):
    images = paintings(tmp_path)
    first, _, _ = train_classifier(images)
    reporter = Counted()
    second, _, is_cached = train_classifier(images, reporter=reporter)
    assert is_cached
    assert reporter.counts == []
    assert second.scores == first.scores
    next((cache / "classifiers").iterdir()).unlink()
    torch.manual_seed(123)  # earlier random numbers have no influence
    third, _, is_cached = train_classifier(images)
    assert not is_cached
    samples = painter().sample(range(5))
    assert torch.equal(first.logits(samples), second.logits(samples))
    assert torch.equal(first.logits(samples), third.logits(samples))


def test_cache_is_not_used_for_other_images_or_attributes_or_when_damaged(one_epoch, tmp_path, cache):
    train_classifier(paintings(tmp_path / "a"))
    file = next((cache / "classifiers").iterdir())
    file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    bright = [number % 3 == 0 for number in range(200)]
    for change in ({}, {"seed": 1}, {"columns": {"bright": bright}}):
        _, _, is_cached = train_classifier(paintings(tmp_path / "b", **change))
        assert not is_cached, change


def test_unknown_labels_do_not_change_the_weights(one_epoch, tmp_path):
    images = paintings(tmp_path)
    labels = np.full((200, 1), np.nan, np.float32)
    labels[:100, 0] = np.array(images.attributes["bright"][:100], np.float32)

    def weights(pixels):
        network = build_network(16, 3, 1)
        fit_network(network, pixels, labels, np.arange(200))
        return network[-1].bias.detach()

    known = weights(images.images)
    assert known.isfinite().all()
    labels[0, 0] = 1 - labels[0, 0]
    assert not torch.equal(known, weights(images.images))
    _, found, _ = train_classifier(paintings(tmp_path / "none", columns={"bright": [None] * 200}))
    assert found.skipped == {"bright": "it is unknown for all images"}


def test_attribute_with_few_held_out_images_has_no_score(one_epoch, tmp_path):
    rare = [number < 12 for number in range(200)]
    columns = {"rare": rare, "odd": [n % 2 for n in range(200)]}
    classifier, _, _ = train_classifier(paintings(tmp_path, columns=columns))
    assert set(classifier.scores) == {"odd"}


def test_all_images_of_a_person_are_on_one_side(tmp_path):
    people = [number // 4 for number in range(200)]
    images = paintings(tmp_path, columns={"identity": people, "bright": [n % 2 == 0 for n in range(200)]})
    held = held_out_rows(images).reshape(50, 4)
    assert (held.all(1) | ~held.any(1)).all()
    assert 0 < held[:, 0].sum() < 25


def test_images_of_people_who_are_all_held_out_are_refused(tmp_path):
    people = [name for name in map(str, range(50)) if is_held_out(name, share=5, salt="classifier ")][:2]
    columns = {"identity": people * 100, "bright": [number % 3 == 0 for number in range(200)]}
    with pytest.raises(DataError) as caught:
        train_classifier(paintings(tmp_path, columns=columns))
    assert str(caught.value) == (
        "paintings: nothing is left to learn from: the images are of few people, all among the fifth that the "
        "classifier is evaluated on; add images of others"
    )
