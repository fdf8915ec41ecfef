import copy

import numpy as np
import pytest
import torch
from torch import nn

from facegan.errors import PluginError
from facegan.features import activations, discriminator_extractor, embed
from facegan.images import to_float
from facegan.networks.dcgan import DCGAN


@pytest.fixture
def D():
    torch.manual_seed(0)
    network = DCGAN(ndf=8).discriminator(16, 3)
    network(torch.randn(32, 3, 16, 16))  # batch norm has seen something
    return network


def test_vector_is_the_mean_of_every_hidden_channel_of_a_scaled_layer(D, faces):
    images = torch.from_numpy(faces(5, 0))
    vectors, logits = discriminator_extractor(D, channels=3, resolution=16).see(images)
    D.eval()
    first = D.from_image(to_float(images))
    expected = []
    for layer in (first.clone(), D.stages(first)):
        rms = layer.pow(2).mean((1, 2, 3)).sqrt()
        expected.append(torch.stack([each.flatten(1).mean(1) / by for each, by in zip(layer, rms, strict=True)]))
    torch.testing.assert_close(vectors, torch.cat(expected, 1))
    assert vectors.shape == (5, 8 + 16) and logits is None


def test_vector_of_an_image_does_not_depend_on_the_others_though_D_is_in_training(D, faces):
    assert D.training
    extractor = discriminator_extractor(D, channels=3, resolution=16)
    images = faces(6, 0)
    one, other = (embed(extractor, images, np.arange(6), batch_size=size).features for size in (1, 6))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_D_stays_as_it_is_and_what_it_learns_later_changes_nothing(D, faces):
    before = copy.deepcopy(D.state_dict())
    images = torch.from_numpy(faces(4, 0))
    extractor = discriminator_extractor(D, channels=3, resolution=16)
    seen = extractor.see(images)[0]
    assert D.training and all(weight.requires_grad for weight in D.parameters())
    assert all(torch.equal(value, before[key]) for key, value in D.state_dict().items())
    nn.init.ones_(D.from_image[0].weight)
    assert torch.equal(extractor.see(images)[0], seen)
    assert discriminator_extractor(D, channels=3, resolution=16).digest != extractor.digest


def test_comparability_names_the_snapshot_of_D(D):
    extractor = discriminator_extractor(D, channels=3, resolution=16, of="step 3,000")
    assert extractor.comparable == "numbers by the D of step 3,000 alone"
    assert (extractor.key, extractor.num_features, extractor.lasting) == ("discriminator", 24, False)


def test_activations_are_of_unit_length_over_channels_and_a_layer_weighs_1(D, faces):
    for layer in activations(D.eval(), to_float(torch.from_numpy(faces(3, 0)))):
        torch.testing.assert_close(layer.square().sum((1, 2, 3)), torch.ones(3))


def test_network_without_hidden_activations_is_refused():
    D = nn.Sequential(nn.Conv2d(3, 1, 16), nn.Flatten(0))
    with pytest.raises(PluginError, match=r"^Sequential: has no hidden activation that is a module; its features are"):
        discriminator_extractor(D, channels=3, resolution=16)
