import numpy as np
import pytest
import torch
from torch import nn

from facegan.images import to_float
from facegan.networks.dcgan import DCGAN
from facegan.projection import ood_score
from facegan.projection.ood_score import OODScore


@pytest.fixture
def bare(monkeypatch):
    """Make the channels of an image its features: the first two of one layer, the others of another."""
    monkeypatch.setattr(ood_score, "activations", lambda D, images: [images[:, :2], images[:, 2:]])
    return nn.Linear(1, 1)


def gaussian(num, seed):
    """Images of one pixel: uint8 (num, 4, 1, 1), correlated normal numbers."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(num, 4)) @ np.array([[20, 5, 0, 3], [0, 15, 4, 0], [0, 0, 25, 6], [2, 0, 0, 18]])
    return (128 + mixed).round().clip(0, 255).astype(np.uint8)[:, :, None, None]


def test_distances_are_mahalanobis_s_and_ascend(bare):
    known, unseen = gaussian(300, 0), gaussian(40, 1)
    fitted, compared = (to_float(torch.from_numpy(each)).flatten(1).double().numpy() for each in (known, unseen))
    centred = compared - fitted.mean(0)
    expected = np.sqrt(np.sum(centred @ np.linalg.inv(np.cov(fitted.T, bias=True)) * centred, axis=1))
    np.testing.assert_allclose(OODScore(bare, known, unseen).distances, np.sort(expected), rtol=3e-3)


def test_faces_of_the_same_kind_have_uniform_percentiles(bare):
    measured = OODScore(bare, gaussian(800, 0), gaussian(400, 1))
    found = measured.percentiles(to_float(torch.from_numpy(gaussian(400, 2))))
    np.testing.assert_allclose(np.quantile(found, [0.1, 0.25, 0.5, 0.75, 0.9]), [10, 25, 50, 75, 90], atol=7)


def test_features_do_not_depend_on_positions(bare):
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 2, 2), dtype=np.uint8)
    turned = np.ascontiguousarray(images[:, :, ::-1])
    measured = OODScore(bare, images[:30], images[30:])
    np.testing.assert_allclose(OODScore(bare, images[:30], turned[30:]).distances, measured.distances, rtol=1e-6)


def test_noise_is_farther_than_all_faces_and_a_face_is_not(drawn):
    torch.manual_seed(0)
    D = DCGAN(ndf=16).discriminator(16, 3).eval()
    measured = OODScore(D, drawn(200, 1).images, drawn(60, 2).images)
    noise = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert measured.percentiles(noise) == [100, 100, 100]
    assert np.median(measured.percentiles(to_float(torch.from_numpy(drawn(5, 3).images.copy())))) < 90


def test_fewer_known_faces_than_features_can_be_fitted(drawn):
    torch.manual_seed(0)
    D = DCGAN(ndf=16).discriminator(16, 3).eval()
    measured = OODScore(D, drawn(8, 1).images, drawn(5, 2).images)
    assert np.isfinite(measured.distances).all()
    assert 0 < measured.distances[0] < measured.distances[-1]


def test_at_most_so_many_evenly_spaced_faces_are_used(bare, monkeypatch):
    known, unseen = gaussian(50, 0), gaussian(50, 1)
    monkeypatch.setattr(ood_score, "NUM_FITTED", 25)
    monkeypatch.setattr(ood_score, "NUM_COMPARED", 2)
    measured = OODScore(bare, known, unseen)
    spread = known[np.linspace(0, 49, 25).round().astype(int)]
    assert np.array_equal(measured.distances, OODScore(bare, spread, unseen[[0, 49]]).distances)
