import pytest
import torch

from counted import Counted
from described import painter
from facegan.directions import DirectionSettings
from facegan.directions.find import fit_directions
from facegan.errors import ConfigError


def fit(generator, classifier, **settings):
    return fit_directions(generator, classifier, DirectionSettings(**{"num": 1000, **settings}))


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_direction_is_the_coordinate_that_provably_controls_its_attribute(trained, prior):
    reporter = Counted()
    settings = DirectionSettings(num=1000, components=2)
    found, refused = fit_directions(painter(prior), trained.classifier, settings, reporter=reporter)
    assert found.names == ["bright", "lit", "sefa-1", "sefa-2"]
    assert refused == {}
    assert found.vectors[0, 0] > 0.97
    assert found.vectors[1, 1] > 0.97
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(4))
    bright, lit = found.infos[:2]
    assert min(bright.auc, lit.auc) > 0.95
    assert 0.3 < bright.share < 0.7
    assert bright.accuracy > 0.85
    # Each direction moves its own attribute by far the most; the first layer's first direction is brightness again.
    own, other = found.moved[0].tolist()
    assert own > 0.5
    assert own > 3 * abs(other)
    assert abs(float(found.moved[2, 0])) > 0.5
    assert (found.snapshot, found.step) == ("d" * 64, 7)
    assert reporter.counts[-1][0] == reporter.counts[-1][1]


def test_kept_attribute_is_no_longer_moved(trained):
    found, _ = fit(painter(), trained.classifier, attributes=("bright",), keep=("lit",))
    free, _ = fit(painter(), trained.classifier, attributes=("lit",))
    assert found.names == ["bright"]
    assert found.infos[0].kept == ("lit",)
    assert abs(float(found.vectors[0] @ free.vectors[0])) < 1e-5


def test_without_classifier_there_are_only_directions_of_the_weights():
    found, refused = fit(painter(), None, components=3)
    assert found.names == ["sefa-1", "sefa-2", "sefa-3"]
    assert found.moved.shape == (3, 0)
    assert refused == {}


def test_attribute_that_hardly_any_sample_has_gets_no_direction(trained, monkeypatch):
    bias = trained.classifier.network[-1].bias.data.clone()
    bias[0] = -1000
    monkeypatch.setattr(trained.classifier.network[-1].bias, "data", bias)
    found, refused = fit(painter(), trained.classifier)
    assert found.names == ["lit"]
    assert refused == {"bright": "hardly any sample seems to have it (0 of 200)"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlabelled": True, "keep": ("a",)}, "--unlabelled takes no --attributes, --keep or --data"),
        ({"components": -1}, "--components is -1; it must be at least 0"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DirectionSettings(**settings)
