import pytest
import torch

from described import painter, paintings
from facegan.directions import learning
from facegan.directions.classifier import Classifier, Score
from facegan.directions.finding import find, usable


@pytest.fixture
def classifier(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "MOST_EPOCHS", 12)
    return learning.learn(paintings(tmp_path))[0]


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_direction_is_the_coordinate_that_provably_controls_its_attribute(classifier, prior):
    seen = []
    found, refused = find(
        painter(prior), classifier, num=1000, components=2, progress=lambda done, total: seen.append((done, total))
    )
    assert found.names == ["bright", "lit", "sefa-1", "sefa-2"]
    assert refused == {}
    assert found.vectors[0, 0] > 0.97
    assert found.vectors[1, 1] > 0.97
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(4))
    bright, lit = found.about[:2]
    assert min(bright.auc, lit.auc) > 0.95
    assert 0.3 < bright.share < 0.7
    assert bright.accuracy > 0.85
    # Each direction moves its own attribute by far the most; the first layer's first direction is brightness again.
    own, other = found.moved[0].tolist()
    assert own > 0.5
    assert own > 3 * abs(other)
    assert abs(float(found.moved[2, 0])) > 0.5
    assert (found.snapshot, found.step) == ("d" * 64, 7)
    assert seen[-1][0] == seen[-1][1]


def test_kept_attribute_is_no_longer_moved(classifier):
    found, _ = find(painter(), classifier, wanted=["bright"], kept=["lit"], num=1000, components=0)
    free, _ = find(painter(), classifier, wanted=["lit"], num=1000, components=0)
    assert found.names == ["bright"]
    assert found.about[0].kept == ("lit",)
    assert abs(float(found.vectors[0] @ free.vectors[0])) < 1e-5


def test_without_classifier_there_are_only_directions_of_the_weights():
    found, refused = find(painter(), None, components=3)
    assert found.names == ["sefa-1", "sefa-2", "sefa-3"]
    assert found.moved.shape == (3, 0)
    assert refused == {}


def test_attribute_that_hardly_any_sample_has_gets_no_direction(classifier):
    classifier.network[-1].bias.data[0] = -1000
    found, refused = find(painter(), classifier, num=1000, components=0)
    assert found.names == ["lit"]
    assert refused == {"bright": "hardly any sample seems to have it (0 of 200)"}


def test_attributes_that_the_classifier_hardly_tells_are_not_used():
    good = Score(name="hat", num=50, base_rate=0.5, accuracy=0.9, balanced_accuracy=0.9, auc=0.75)
    poor = Score(name="nose", num=50, base_rate=0.5, accuracy=0.6, balanced_accuracy=0.6, auc=0.7499)
    classifier = Classifier(torch.nn.Identity(), ["hat", "nose", "rare"], {"hat": good, "nose": poor})
    assert usable(classifier) == (
        ["hat"],
        {
            "nose": "the classifier hardly tells it (held-out AUC 0.75, below 0.75)",
            "rare": "fewer than 10 held-out images of either kind",
        },
    )
