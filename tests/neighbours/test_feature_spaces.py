import numpy as np
import pytest
import torch

from facegan.features import activations
from facegan.neighbours import features, pixels
from facegan.networks.dcgan import DCGAN


def test_black_and_white_are_2_apart_in_pixels_at_any_size():
    for side in (16, 64):
        rows = pixels().rows(torch.stack([-torch.ones(3, side, side), torch.ones(3, side, side)]))
        squared = (rows[0] - rows[1]).square().sum().numpy()[None].astype(np.float64)
        assert pixels().distances(squared)[0] == pytest.approx(2.0)


def test_distances_in_features_are_those_of_d_s_last_activation():
    torch.manual_seed(0)
    D = DCGAN(ndf=8).discriminator(16, 3).eval().requires_grad_(False)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    space = features(D)
    rows = space.rows(images)
    last = activations(D, images)[-1]
    expected = float((last[0] - last[1]).square().sum())
    squared = np.array([float((rows[0] - rows[1]).square().sum())])
    assert space.distances(squared)[0] == pytest.approx(expected, rel=1e-5)
