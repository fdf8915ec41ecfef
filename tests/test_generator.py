import pytest
import torch

from facegan import latents
from facegan.generator import MICRO_BATCH, FaceGenerator
from facegan.networks.dcgan import DCGAN
from facegan.sampling import sample


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = DCGAN(z_dim=12, ngf=8).generator(16, 3)
    with torch.no_grad():
        network(torch.randn(32, 12))  # moves the batch-norm statistics
    return FaceGenerator(network, z_dim=12, prior="normal")


@pytest.mark.parametrize("seeds", [range(8), [7, 7, 3], range(130), [*range(100, 163), 7]])
def test_image_seven_is_image_seven_whatever_is_asked_with_it(generator, seeds):
    place = list(seeds).index(7)
    assert torch.equal(generator.sample(seeds)[place], generator.sample([7])[0])


def test_images_of_seeds_are_images_of_their_latents(generator):
    images = generator.sample([3, 5])
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert torch.equal(images, generator.images(latents.from_seeds([3, 5], 12, "normal")))
    assert not torch.equal(images[0], images[1])
    with torch.no_grad():
        expected = generator.network(latents.from_seeds([3, 5], 12, "normal"))
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-6)


def test_the_network_always_runs_one_shape(generator):
    shapes = []
    generator.network.register_forward_hook(lambda _, given, output: shapes.append(len(given[0])))
    for num in (1, 63, 64, 65, 130):
        assert len(generator.sample(range(num))) == num
    assert set(shapes) == {MICRO_BATCH}
    assert len(shapes) == 1 + 1 + 1 + 2 + 3


def test_the_prior_decides_the_latents():
    network = DCGAN(z_dim=12, ngf=4).generator(16, 3)
    normal, uniform = (FaceGenerator(network, z_dim=12, prior=prior) for prior in ("normal", "uniform"))
    assert uniform.latents(range(50)).abs().max() <= 1 < normal.latents(range(50)).abs().max()
    assert not torch.equal(normal.sample([1]), uniform.sample([1]))


def test_it_runs_in_eval_mode_and_leaves_its_statistics_alone(generator):
    before = {key: value.clone() for key, value in generator.network.state_dict().items()}
    generator.sample(range(3))
    assert not generator.network.training
    assert all(torch.equal(value, before[key]) for key, value in generator.network.state_dict().items())


@pytest.mark.parametrize("shape", [(2, 11), (12,), (2, 12, 1, 1), (0, 12)])
def test_latents_of_another_shape_are_refused(generator, shape):
    with pytest.raises(ValueError) as refusal:
        generator.images(torch.zeros(shape))
    assert str(refusal.value) == f"z has the shape {shape}; this generator takes (N, 12), N >= 1"


def test_latents_of_another_type_are_converted(generator):
    z = latents.from_seeds([1], 12, "normal")
    assert torch.equal(generator.images(z.double()), generator.images(z))


def test_images_are_ordinary_tensors_that_one_can_go_on_with(generator):
    images = generator.sample([1])
    images.mul_(0.5)
    images.requires_grad_().sum().backward()
    assert not images.is_inference()


def test_sampling_yields_every_seed_once_in_order(generator):
    seeds = [*range(70), 3, 500]
    batches = list(sample(generator, seeds))
    assert [seed for batch, _ in batches for seed in batch] == seeds
    assert torch.equal(torch.cat([images for _, images in batches]), generator.sample(seeds))
    assert [len(images) for _, images in batches] == [64, 8]
    assert list(sample(generator, [])) == []
