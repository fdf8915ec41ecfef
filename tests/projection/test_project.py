import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from counted import Counted
from facegan.generator import FaceGenerator
from facegan.networks.dcgan import DCGAN
from facegan.projection import SearchSettings, project_images
from facegan.projection.search import on_prior


class Linear(nn.Module):
    """Images that are a fixed linear map of z: the answer to a projection is known."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.map = nn.Linear(6, 3 * 16 * 16, bias=False)

    def forward(self, z):
        return self.map(z).view(-1, 3, 16, 16) * 0.2


def linear(prior="normal"):
    return FaceGenerator(Linear(), z_dim=6, prior=prior)


QUICK = SearchSettings(restarts=2, steps=40, candidates=256)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_sample_of_a_linear_generator_gives_its_latent_back(prior):
    generator = linear(prior)
    z = generator.latents([5])
    (found,) = project_images(generator, None, generator.images(z), QUICK)
    assert torch.allclose(found.z, z[0], atol=0.02)
    assert found.rms < 1e-3


def test_sample_of_a_dcgan_is_recovered_with_and_without_D():
    torch.manual_seed(3)
    family = DCGAN(z_dim=8, ngf=8, ndf=8)
    network = family.generator(16, 3)
    with torch.no_grad():
        network.to_image[0].weight.mul_(20)  # faces that differ, as those of a trained network do
    generator = FaceGenerator(network, z_dim=8, prior="normal")
    D = family.discriminator(16, 3).eval()
    z = generator.latents([1])
    image = generator.images(z)
    for each in (None, D):
        (found,) = project_images(generator, each, image, SearchSettings(restarts=2, steps=60, candidates=512))
        assert found.rms < 0.05
        assert cosine_similarity(found.z, z[0], dim=0) > 0.9


def test_image_is_the_generator_s_own_of_that_latent_to_the_bit():
    generator = linear()
    images = generator.sample([1, 2])
    for found in project_images(generator, None, images, QUICK):
        assert torch.equal(found.image, generator.images(found.z[None])[0])


def test_result_depends_on_the_seed_and_not_on_the_other_images():
    generator = linear()
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    few = SearchSettings(restarts=1, steps=3, candidates=256)
    one, again = (project_images(generator, None, images[1:], few)[0] for _ in range(2))
    _, among = project_images(generator, None, images, few)
    (other,) = project_images(generator, None, images[1:], few.model_copy(update={"seed": 1}))
    assert torch.equal(one.z, again.z)
    assert torch.equal(one.z, among.z)
    assert not torch.equal(one.z, other.z)


def test_features_change_the_latent_found():
    torch.manual_seed(0)
    D = DCGAN(ndf=4).discriminator(16, 3).eval()
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    few = SearchSettings(restarts=1, steps=5, candidates=256)
    (pixels,), (both,) = (project_images(linear(), each, image, few) for each in (None, D))
    assert not torch.equal(pixels.z, both.z)
    assert both.distance > pixels.distance


def test_more_steps_and_more_restarts_come_nearer():
    generator = linear()
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def distance(**changes):
        settings = SearchSettings(**{"restarts": 1, "steps": 2, "candidates": 256, **changes})
        return project_images(generator, None, image, settings)[0].distance

    assert distance(steps=30) < distance()
    assert distance(restarts=8) <= distance()


def test_uniform_latent_stays_in_the_cube_and_a_normal_one_near_its_length():
    wild = torch.randn(50, 100, generator=torch.Generator().manual_seed(0)) * torch.logspace(-2, 3, 50)[:, None]
    assert on_prior(wild, "uniform").abs().max() <= 1
    lengths = on_prior(wild, "normal").norm(dim=1)
    assert ((lengths > 10 - 2.13) & (lengths < 10 + 2.13)).all()
    typical = torch.randn(50, 100, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(on_prior(typical, "normal"), typical, atol=1e-5)


def test_progress_counts_the_images_generated():
    reporter = Counted()
    few = SearchSettings(restarts=2, steps=3, candidates=256)
    project_images(linear(), None, torch.zeros(2, 3, 16, 16), few, reporter=reporter)
    assert reporter.counts == [(4, 12), (6, 12), (10, 12), (12, 12)]
