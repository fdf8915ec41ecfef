import pytest
import torch

from facegan import latents


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_normal_latents_have_the_moments_of_a_standard_normal():
    z = latents.draw(20_000, 10, "normal", source()).double()
    assert (z.shape, z.mean().abs() < 0.01, (z.std() - 1).abs() < 0.01) == ((20_000, 10), True, True)
    assert z.pow(4).mean() == pytest.approx(3, rel=0.05)
    assert z.abs().max() > 3.5


def test_uniform_latents_fill_minus_one_to_one_evenly():
    z = latents.draw(20_000, 10, "uniform", source()).double()
    assert -1 <= z.min() < -0.999
    assert 0.999 < z.max() <= 1
    assert z.mean().abs() < 0.01
    assert z.var() == pytest.approx(1 / 3, rel=0.02)
    assert z.pow(4).mean() == pytest.approx(1 / 5, rel=0.02)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_drawing_advances_only_the_given_generator(prior):
    before = torch.get_rng_state()
    one, other = source(), source()
    first = latents.draw(3, 4, prior, one)
    second = latents.draw(3, 4, prior, one)
    assert first.dtype == torch.float32
    assert not torch.equal(first, second)
    assert torch.equal(latents.draw(3, 4, prior, other), first)
    assert torch.equal(latents.draw(3, 4, prior, other), second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_seed_has_one_latent_in_whatever_company(prior):
    alone = latents.from_seeds([7], 100, prior)
    assert torch.equal(latents.from_seeds(range(20), 100, prior)[7], alone[0])
    assert torch.equal(latents.from_seeds([9, 2**63 - 1, 7], 100, prior)[2], alone[0])
    assert torch.equal(latents.from_seeds([7, 7], 100, prior), alone.repeat(2, 1))


def test_priors_differ_and_keep_their_ranges():
    normal, uniform = (latents.from_seeds(range(200), 100, prior) for prior in ("normal", "uniform"))
    assert uniform.abs().max() <= 1 < normal.abs().max()
    assert normal.std() == pytest.approx(1, rel=0.02)


def test_neighbouring_seeds_are_unrelated():
    z = latents.from_seeds(range(100), 400, "normal")
    correlation = torch.corrcoef(z) - torch.eye(100)
    assert correlation.abs().max() < 0.3  # 6 standard errors


def test_no_seeds_are_no_latents():
    assert latents.from_seeds([], 5, "normal").shape == (0, 5)


# Arithmetic


def test_sum_is_of_means_added_and_means_subtracted():
    plus = [torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([[10.0, 0.0]])]
    minus = [torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 6.0]])]
    assert latents.combine(plus, minus).tolist() == [2 + 10 - 2, 4 + 0 - 3]
    assert latents.combine(plus).tolist() == [12, 4]


def test_what_is_added_and_subtracted_cancels_exactly():
    z = latents.from_seeds(range(7), 100, "normal")
    assert latents.combine([z], [z]).tolist() == [0] * 100
    assert torch.equal(latents.combine([z[:1], z[3:]], [z[3:]]), z[0])


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_three_terms_of_three_are_as_long_as_one_latent(prior):
    z = latents.from_seeds(range(9 * 200), 100, prior).view(200, 3, 3, 100)
    lengths = torch.stack([latents.combine([a, c], [b]).norm() for a, b, c in z])
    typical = latents.typical_length(100, prior)
    assert lengths.mean() == pytest.approx(typical, rel=0.02)
    assert z[:, 0, 0].norm(dim=1).mean() == pytest.approx(typical, rel=0.02)


def test_neighbours_lie_around_the_latent_as_far_as_the_noise_goes():
    z = latents.from_seeds([0], 1000, "normal")[0]
    around = latents.neighbourhood(z, 0.25, seed=0)
    assert around.shape == (9, 1000)
    assert torch.equal(around[4], z)
    others = (around - z)[[0, 1, 2, 3, 5, 6, 7, 8]]
    assert 0.245 < others.max() <= 0.2501
    assert -0.2501 <= others.min() < -0.245
    assert others.mean().abs() < 0.01
    assert len(around.unique(dim=0)) == 9


def test_noise_is_the_seeds():
    z = torch.zeros(10)
    assert torch.equal(latents.neighbourhood(z, 0.25, seed=1), latents.neighbourhood(z, 0.25, seed=1))
    assert not torch.equal(latents.neighbourhood(z, 0.25, seed=1), latents.neighbourhood(z, 0.25, seed=2))
    assert torch.equal(latents.neighbourhood(z, 0, seed=1), torch.zeros(9, 10))
