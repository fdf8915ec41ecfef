import pytest
import torch

from facegan.errors import SnapshotError
from facegan.generator import FaceGenerator
from facegan.networks.dcgan import DCGAN
from facegan.sampling import finite_images, sample
from origins import origin


@pytest.fixture
def generator():
    return FaceGenerator(
        DCGAN(z_dim=4, ngf=2).generator(16, 3), z_dim=4, prior="normal", origin=origin("x.safetensors")
    )


def test_batches_are_those_of_the_generator(generator):
    batches = list(sample(generator, range(70)))
    assert [list(seeds) for seeds, _ in batches] == [list(range(64)), list(range(64, 70))]
    assert torch.equal(torch.cat([images for _, images in batches]), generator.sample(range(70)))


def test_pictures_that_are_not_finite_are_refused(generator):
    with torch.no_grad():
        for parameter in generator.network.parameters():
            parameter.mul_(1e38)
    with pytest.raises(SnapshotError, match=r"^x\.safetensors: .*images are not finite, .*; take another snapshot$"):
        list(sample(generator, [0]))


def test_latents_that_are_too_large_are_named_as_the_reason(generator):
    with torch.no_grad():
        for parameter in generator.network.parameters():
            parameter.mul_(10)
    finite_images(generator, torch.full((1, 4), -3.0))
    with pytest.raises(SnapshotError) as caught:
        finite_images(generator, torch.full((1, 4), -3e38))
    assert str(caught.value) == "x.safetensors: images are not finite, for latents as large as 3e+38; take others"
