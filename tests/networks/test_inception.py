import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from facegan.downloads.inception_weights import INCEPTION
from facegan.networks.inception import Inception, resize
from inception import block_images

TOLERANCE = 1e-5  # of the largest value: a few roundings of float32


@pytest.fixture(scope="module")
def network(inception_file):
    """Not yet folded."""
    with torch.device("meta"):
        network = Inception()
    network.load_state_dict(torch.load(inception_file, weights_only=True), strict=True, assign=True)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folded(inception_file):
    with torch.device("meta"):
        network = Inception()
    network.load_state_dict(torch.load(inception_file, weights_only=True), assign=True)
    return network.folded()


@pytest.fixture(scope="module")
def reference(inception_file):
    """The extractor of torch-fidelity, which also loads strictly; images -> (features, logits without the bias)."""
    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_file)
    )


def difference(values, expected):
    """The largest, as a share of the largest value."""
    assert values.shape == expected.shape and values.dtype == expected.dtype == torch.float32
    return ((values - expected).abs().max() / expected.abs().max()).item()


def test_features_and_logits_are_those_of_torch_fidelity(folded, reference):
    batch = block_images(2, (64, 48))
    expected = reference(batch)
    found = folded(batch)
    assert found[0].shape == (2, 2048) and found[1].shape == (2, 1008)
    for values, wanted in zip(found, expected, strict=True):
        assert difference(values, wanted) < TOLERANCE
        assert difference(wanted[:1], wanted[1:]) > 1000 * TOLERANCE  # or agreement would mean little


def test_folding_batch_norms_changes_nothing_but_roundings(network, folded):
    batch = block_images(1, (32, 32))
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    for values, wanted in zip(folded(batch), network(batch), strict=True):
        assert difference(values, wanted) < TOLERANCE


def test_grey_images_are_taken_three_times(folded):
    grey = block_images(1, (16, 16), channels=1)
    for values, wanted in zip(folded(grey), folded(grey.repeat(1, 3, 1, 1)), strict=True):
        assert torch.equal(values, wanted)


def test_network_without_gradients_is_all_that_folding_leaves(folded):
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not folded.training


def test_weights_fill_the_published_file():
    with torch.device("meta"):
        tensors = Inception().state_dict()
    size_bytes = sum(tensor.numel() * 4 for tensor in tensors.values() if tensor.is_floating_point())
    # What is over are the names, and the frame around each tensor.
    assert 0 < INCEPTION.size_bytes - size_bytes < 200 * len(tensors)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 64), (128, 128), (256, 256), (299, 299), (400, 310)])
def test_resize_is_tensorflows_bit_by_bit(size):
    images = block_images(1, size).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert torch.equal(resize(images), expected)


def test_resize_begins_at_the_corner_and_repeats_the_last_pixel():
    ramp = torch.tensor([[[[0.0, 299.0]]]]).expand(1, 1, 2, 2)
    row = resize(ramp)[0, 0, 0]
    # Pixel i lies at 2 i / 299, so the second one is reached at 149.5.
    torch.testing.assert_close(row[:150], 2 * torch.arange(150.0))
    assert torch.equal(row[150:], torch.full((149,), 299.0))
