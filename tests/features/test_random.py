import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from facegan.evaluation.metrics.fid import Gaussian, frechet_distance
from facegan.features import embed, random_extractor
from facegan.features.random import RandomNetwork

# Of the weights, on every machine and with every version of torch: another digest makes all numbers incomparable.
DIGESTS = {
    (3, 64): "9f4f4e6452ece83a459fc9e72cb644428d744d58b604dad7a9e568f470af4d08",
    (1, 64): "2de2ee08860d9738033dfe22a3bf5f1ddea68f597e8054a1c51bb87fcd7d7797",
    (3, 16): "987ecde76b2410af975ce0f62679e0800f097b2575d5c27ce3b707dbd6408761",
}


@pytest.mark.parametrize(("channels", "resolution"), DIGESTS)
def test_weights_are_these_everywhere(channels, resolution):
    assert random_extractor(channels, resolution).digest == DIGESTS[channels, resolution]


def test_weights_do_not_depend_on_the_global_random_state():
    before = torch.get_rng_state()
    one = random_extractor(3, 16).digest
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(7)
    assert random_extractor(3, 16).digest == one


@pytest.mark.parametrize(
    ("resolution", "num_layers"), [(16, 2), (32, 3), (64, 4), (128, 5), (256, 6), (512, 7), (100, 5)]
)
def test_last_layer_sees_the_complete_image_at_any_size(resolution, num_layers):
    network = RandomNetwork(1, resolution)
    assert len(network.weights) == num_layers
    assert [len(weight) for weight in network.weights] == [256 >> layer for layer in reversed(range(num_layers))]
    assert network(torch.rand(2, 1, resolution, resolution)).shape == (2, 257)


def test_filters_sum_to_zero_and_keep_the_scale():
    for weight in RandomNetwork(3, 32).weights:
        assert weight.sum((1, 2, 3)).abs().max() < 1e-5
        assert float(weight.var()) == pytest.approx(2 / weight[0].numel(), rel=0.05)
        assert not weight.requires_grad


def test_image_of_one_colour_has_a_vector():
    blank = torch.full((2, 3, 16, 16), 77, dtype=torch.uint8)
    vectors, logits = random_extractor(3, 16).see(blank)
    assert vectors.isfinite().all() and logits is None


@pytest.fixture(scope="module")
def distance():
    """distance(images) -> their Fréchet distance from draws of the distribution that `faces` draws from."""
    extractor = random_extractor(3, 16)
    known = {}

    def measure(images, real):
        if "real" not in known:
            known["real"] = Gaussian.fit(embed(extractor, real, np.arange(len(real))).moments)
        fake = Gaussian.fit(embed(extractor, images, np.arange(len(images))).moments)
        return frechet_distance(known["real"], fake).value

    return measure


def blurred(images, sigma):
    return gaussian_filter(images.astype(float), (0, 0, sigma, sigma)).round().astype(np.uint8)


def redder(images, by):
    return (images + np.array([by, 0, 0])[:, None, None]).clip(0, 255).astype(np.uint8)


def pale(images, by):
    return ((images - 128.0) / by + 128).round().astype(np.uint8)


def noisy(images, by):
    return (images + by * np.random.default_rng(2).normal(size=images.shape)).clip(0, 255).astype(np.uint8)


def collapsed(images, by):
    return images[np.arange(len(images)) // by]


@pytest.mark.parametrize(
    ("spoiled", "degrees"),
    [
        (blurred, (0.6, 1, 2)),
        (redder, (20, 50, 90)),
        (noisy, (30, 60, 120)),
        (pale, (1.2, 1.5, 3)),
        (collapsed, (4, 20, 100)),
    ],
)
def test_worse_images_are_farther_away(distance, faces, spoiled, degrees):
    real = faces(200, 0)
    others = faces(100, 1)
    found = [distance(others, real), *(distance(spoiled(others, degree), real) for degree in degrees)]
    assert found == sorted(found) and found[-1] > 1.5 * found[0]
