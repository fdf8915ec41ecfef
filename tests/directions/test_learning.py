import numpy as np
import pytest
import torch

from described import painter, paintings
from facegan.data.split import is_held_out
from facegan.directions import learning
from facegan.errors import DataError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(learning, "MOST_EPOCHS", 12)


def test_classifier_tells_people_it_has_not_seen_and_says_how_well(tmp_path):
    packed, shown = paintings(tmp_path), []
    classifier, targets, cached = learning.learn(packed, progress=lambda done, total: shown.append((done, total)))
    assert targets.names == classifier.names == ["bright", "lit"]
    assert not cached
    held = learning.held_out(packed)
    for name in classifier.names:
        score = classifier.scores[name]
        assert score.num == held.sum()
        assert score.auc > 0.93
        assert score.accuracy > score.base_rate + 0.2
    z = torch.zeros(2, 8)
    z[0, 0], z[1, 0] = 2, -2
    assert classifier.logits(painter().images(z))[:, 0].sign().tolist() == [1, -1]
    assert shown[-1][0] == shown[-1][1]


def test_second_call_takes_the_cache_and_gives_the_same(tmp_path):
    packed, shown = paintings(tmp_path), []
    first, _, _ = learning.learn(packed)
    second, _, cached = learning.learn(packed, progress=lambda *counts: shown.append(counts))
    assert cached
    assert shown == []
    assert second.scores == first.scores
    images = painter().sample(range(5))
    assert torch.equal(first.logits(images), second.logits(images))


def test_classifier_is_the_same_whatever_was_drawn_before(tmp_path, cache):
    packed = paintings(tmp_path)
    first, _, _ = learning.learn(packed)
    next((cache / "classifiers").iterdir()).unlink()
    torch.manual_seed(123)
    second, _, cached = learning.learn(packed)
    assert not cached
    images = painter().sample(range(5))
    assert torch.equal(first.logits(images), second.logits(images))


@pytest.mark.parametrize("change", ["pixels", "attributes", "damage"])
def test_cache_is_not_taken_when_pictures_or_attributes_differ_or_it_is_damaged(tmp_path, cache, change, monkeypatch):
    monkeypatch.setattr(learning, "MOST_EPOCHS", 1)
    learning.learn(paintings(tmp_path / "a"))
    bright = [number % 3 == 0 for number in range(200)]
    other = {"pixels": {"seed": 1}, "attributes": {"columns": {"bright": bright}}, "damage": {}}[change]
    if change == "damage":
        file = next((cache / "classifiers").iterdir())
        file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    _, _, cached = learning.learn(paintings(tmp_path / "b", **other))
    assert not cached


def test_answers_that_are_not_known_teach_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "MOST_EPOCHS", 1)
    packed = paintings(tmp_path)
    answers = np.full((200, 1), np.nan, np.float32)
    answers[:100, 0] = np.array(packed.attributes["bright"][:100], np.float32)

    def weights(images):
        network = learning.build(16, 3, 1)
        learning.fit(network, images, answers, np.arange(200))
        return network[-1].bias.detach()

    flipped = weights(packed.images)
    answers[0, 0] = 1 - answers[0, 0]
    assert not torch.equal(flipped, weights(packed.images))
    assert flipped.isfinite().all()
    _, targets, _ = learning.learn(paintings(tmp_path / "none", columns={"bright": [None] * 200}))
    assert targets.passed_over == {"bright": "it is known of no image"}


def test_attribute_with_few_held_out_pictures_has_no_score(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "MOST_EPOCHS", 1)
    rare = [number < 12 for number in range(200)]
    classifier, _, _ = learning.learn(paintings(tmp_path, columns={"rare": rare, "odd": [n % 2 for n in range(200)]}))
    assert set(classifier.scores) == {"odd"}


def test_pictures_of_one_person_are_on_one_side(tmp_path):
    people = [number // 4 for number in range(200)]
    packed = paintings(tmp_path, columns={"identity": people, "bright": [n % 2 == 0 for n in range(200)]})
    held = learning.held_out(packed).reshape(50, 4)
    assert (held.all(1) | ~held.any(1)).all()
    assert 0 < held[:, 0].sum() < 25


def test_pictures_of_people_that_are_all_held_out_are_refused_in_words(tmp_path):
    people = [name for name in map(str, range(50)) if is_held_out(name, share=5, salt="classifier ")][:2]
    columns = {"identity": people * 100, "bright": [number % 3 == 0 for number in range(200)]}
    with pytest.raises(DataError) as caught:
        learning.learn(paintings(tmp_path, columns=columns))
    assert str(caught.value) == (
        "nothing is left to learn from: the images are of few people, and all of these are among the fifth that the "
        "classifier is judged on; add images of others"
    )
