import torch

from facegan.projection.lbfgs import minimise_rows


def bowls(num=3, size=6):
    """Quadratics of different scales and centres, a row each."""
    rng = torch.Generator().manual_seed(0)
    scales = 10 ** (torch.rand(num, size, generator=rng) * 3 - 1)
    centres = torch.randn(num, size, generator=rng)
    return centres, lambda rows: (scales[: len(rows)] * (rows - centres[: len(rows)]).square()).sum(1)


def test_each_row_reaches_its_own_minimum():
    centres, objective = bowls()
    rows, values = minimise_rows(objective, torch.zeros(3, 6), 80)
    assert torch.allclose(rows, centres, atol=1e-3)
    assert (values < 1e-4).all()


def test_row_goes_its_way_whatever_the_others_do():
    _, objective = bowls()
    together, _ = minimise_rows(objective, torch.zeros(3, 6), 15)
    alone, _ = minimise_rows(objective, torch.zeros(1, 6), 15)
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_value_never_rises_and_is_finite_where_the_objective_is_not():
    def cliff(rows):
        return torch.where(rows[:, 0] > 0.5, torch.full((len(rows),), float("nan")), rows.square().sum(1))

    start = torch.full((1, 3), 0.4)
    _, value = minimise_rows(cliff, start, 10)
    assert value.isfinite().all()
    assert value < cliff(start)


def test_progress_counts_the_steps():
    _, objective = bowls()
    seen = []
    minimise_rows(objective, torch.zeros(3, 6), 4, seen.append)
    assert seen == [2, 3, 4]
