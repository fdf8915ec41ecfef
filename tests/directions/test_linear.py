import pytest
import torch

from facegan.directions.linear import fit_direction, orthogonalise
from facegan.latents import deviation, shifted


def test_fit_finds_the_coordinate_that_a_share_depends_on():
    z = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0))
    direction = fit_direction(z, (3 * z[:, 2] - 1).sigmoid())
    assert direction.norm() == pytest.approx(1, abs=1e-6)
    assert direction[2] > 0.999


def test_orthogonalised_direction_has_no_part_along_them():
    a, b, c = torch.nn.functional.normalize(torch.randn(3, 10, generator=torch.Generator().manual_seed(1)))
    kept = orthogonalise(a, [b, c])
    assert kept.norm() == pytest.approx(1, abs=1e-6)
    assert (kept @ b).abs() < 1e-6
    assert (kept @ c).abs() < 1e-6
    # With one condition it is the paper's n1 - (n1 . n2) n2.
    torch.testing.assert_close(orthogonalise(a, [b]), torch.nn.functional.normalize(a - (a @ b) * b, dim=0))
    assert torch.equal(orthogonalise(a, []), a)


@pytest.mark.parametrize("again", [lambda b: b, lambda b: -b, lambda b: b * (1 + 1e-7), lambda b: 0 * b])
def test_keeping_one_twice_or_with_zeros_changes_nothing(again):
    a, b = torch.nn.functional.normalize(torch.randn(2, 10, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(orthogonalise(a, [b, again(b)]), orthogonalise(a, [b]))
    torch.testing.assert_close(orthogonalise(a, [again(b), b]), orthogonalise(a, [b]))


def test_orthogonalising_to_zeros_changes_nothing():
    a = torch.nn.functional.normalize(torch.randn(10, generator=torch.Generator().manual_seed(1)), dim=0)
    torch.testing.assert_close(orthogonalise(a, [torch.zeros(10)]), a)


def test_nothing_is_left_of_a_direction_without_itself():
    a = torch.nn.functional.normalize(torch.randn(10, generator=torch.Generator().manual_seed(1)), dim=0)
    assert not orthogonalise(a, [-a]).any()


def test_shift_is_in_standard_deviations_and_stays_in_the_uniform_cube():
    z = torch.zeros(1, 2)
    assert shifted(z, torch.tensor([2.0, -3.0]), "normal").tolist() == [[2, -3]]
    uniform = shifted(z, torch.tensor([1.0, -3.0]), "uniform")
    assert uniform[0, 0] == pytest.approx(3**-0.5)
    assert uniform[0, 1] == -1
    draws = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert deviation("uniform") == pytest.approx(float(draws.std()), abs=0.003)
    assert deviation("normal") == 1


def test_no_shift_leaves_latents_to_the_bit():
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(shifted(z, torch.zeros(3), "normal"), z)
