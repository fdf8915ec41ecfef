import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def vectors(size):
    """Latents of every kind: of chance, of zeros, of one axis, tiny and huge ones."""
    number = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
    return st.lists(number, min_size=size, max_size=size).map(lambda row: torch.tensor(row))


def related(size):
    """Pairs of latents, among them identical, parallel and opposite ones."""
    kinds = st.sampled_from([None, 1.0, -1.0, 0.0, 3.0, -0.5])
    pair = lambda start, end, factor: (start, end if factor is None else start * factor)  # noqa: E731
    return st.builds(pair, vectors(size), vectors(size), kinds)


T = torch.linspace(0, 1, 21, dtype=torch.float64)
WAYS = [latents.lerp, latents.slerp]


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=40)
@given(pair=st.integers(1, 6).flatmap(related))
def test_ways_are_finite_exact_at_their_ends_and_the_same_backwards(way, pair):
    start, end = pair
    z = way(start, end, T)
    assert (z.shape, z.dtype) == ((21, len(start)), torch.float32)
    assert z.isfinite().all()
    assert torch.equal(z[0], start)
    assert torch.equal(z[-1], end)
    longest = max(float(start.norm()), float(end.norm()))
    torch.testing.assert_close(z, way(end, start, 1 - T), rtol=1e-6, atol=1e-6 * longest)


@settings(deadline=None, max_examples=40)
@given(pair=st.integers(2, 6).flatmap(related))
def test_slerp_changes_length_evenly(pair):
    start, end = (latent.double() for latent in pair)
    expected = (1 - T) * start.norm() + T * end.norm()
    longest = float(expected.max())
    torch.testing.assert_close(latents.slerp(start, end, T).norm(dim=1), expected, rtol=1e-6, atol=1e-6 * longest)


@pytest.mark.parametrize("factor", [None, -1.0, -3.0, 1.0, 2.0])
def test_slerp_turns_at_constant_angular_speed(factor):
    start, end = torch.randn(2, 50, generator=source(), dtype=torch.float64)
    end = end if factor is None else start * factor
    z = latents.slerp(start, end, T)
    directions = z / z.norm(dim=1, keepdim=True)
    steps = 2 * torch.asin((directions[1:] - directions[:-1]).norm(dim=1) / 2)
    angle = torch.acos((start @ end / start.norm() / end.norm()).clamp(-1, 1))
    torch.testing.assert_close(steps, (angle / 20).expand(20), rtol=1e-6, atol=1e-6)


def test_slerp_equals_shoemakes_formula():
    start, end = latents.from_seeds([1, 2], 100, "normal").double()
    u, v = start / start.norm(), end / end.norm()
    omega = torch.acos(u @ v)
    weights = torch.sin((1 - T) * omega) / torch.sin(omega), torch.sin(T * omega) / torch.sin(omega)
    lengths = (1 - T) * start.norm() + T * end.norm()
    expected = lengths[:, None] * (weights[0][:, None] * u + weights[1][:, None] * v)
    torch.testing.assert_close(latents.slerp(start, end, T), expected, rtol=1e-12, atol=1e-12)


def test_known_ways_in_the_plane():
    right, up = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    half = torch.tensor([0.5])
    torch.testing.assert_close(latents.slerp(right, up, half), torch.tensor([[3 / 2**0.5, 3 / 2**0.5]]))
    torch.testing.assert_close(latents.lerp(right, up, half), torch.tensor([[1.0, 2.0]]))
    for start in (right, -right):  # opposite: through the axis along which they have least
        torch.testing.assert_close(latents.slerp(start, -start, half), torch.tensor([[0.0, 2.0]]))
    torch.testing.assert_close(latents.slerp(right, 0 * up, half), torch.tensor([[1.0, 0.0]]))
    turns = torch.tensor([0, 0.25, 0.5, 0.75, 1])
    around = torch.tensor([[2.0, 0], [0, 2], [-2, 0], [0, -2], [2, 0]])
    for second in (up, right + up, up - right, right, -right, 0 * up):
        torch.testing.assert_close(latents.circle(right, second, turns), around)


def test_slerp_keeps_to_the_sphere_of_the_normal_prior_and_lerp_to_the_cube_of_the_uniform_one():
    start, end = latents.from_seeds([1, 2], 100, "normal")
    assert latents.slerp(start, end, T).norm(dim=1).min() > 0.99 * min(start.norm(), end.norm())
    assert latents.lerp(start, end, T).norm(dim=1).min() < 0.8 * min(start.norm(), end.norm())
    start, end = latents.from_seeds([1, 2], 100, "uniform")
    assert latents.lerp(start, end, T).abs().max() <= 1


@settings(deadline=None, max_examples=40)
@given(pair=st.integers(1, 6).flatmap(related))
def test_circle_is_finite_closed_and_as_long_as_its_first_latent(pair):
    first, second = pair
    z = latents.circle(first, second, T)
    assert z.isfinite().all()
    assert torch.equal(z[0], first)
    assert torch.equal(z[-1], first)
    if len(first) > 1:
        torch.testing.assert_close(z.double().norm(dim=1), first.double().norm().expand(21), rtol=1e-6, atol=1e-30)


def test_circle_passes_a_second_latent_of_the_same_length():
    first, second = torch.randn(2, 30, generator=source(), dtype=torch.float64)
    second = second * first.norm() / second.norm()
    angle = torch.acos(first @ second / first.norm() ** 2)
    at = (angle / (2 * torch.pi))[None]
    torch.testing.assert_close(latents.circle(first, second, at)[0], second)


@pytest.mark.parametrize("way", WAYS)
def test_bilinear_sheet_has_its_corners_and_its_edges_are_ways(way):
    corners = latents.from_seeds(range(4), 20, "normal")
    sheet = latents.bilinear(list(corners), T[::5], T[::4], way)  # 5 rows, 6 columns
    assert sheet.shape == (5, 6, 20)
    assert torch.equal(torch.stack([sheet[0, 0], sheet[0, -1], sheet[-1, 0], sheet[-1, -1]]), corners)
    torch.testing.assert_close(sheet[0], way(corners[0], corners[1], T[::4]))
    torch.testing.assert_close(sheet[:, -1], way(corners[1], corners[3], T[::5]))


def test_bilinear_of_straight_lines_weighs_the_four_corners():
    corners = latents.from_seeds(range(4), 20, "uniform")
    weights = torch.tensor([0.75 * 0.5, 0.75 * 0.5, 0.25 * 0.5, 0.25 * 0.5])
    middle = latents.bilinear(list(corners), torch.tensor([0.25]), torch.tensor([0.5]))[0, 0]
    torch.testing.assert_close(middle, (weights[:, None] * corners).sum(0))


@settings(deadline=None, max_examples=40)
@given(num_points=st.integers(2, 40), more=st.integers(0, 60), closed=st.booleans())
def test_schedule_meets_every_point_and_never_goes_back(num_points, more, closed):
    num_frames = num_points + more
    at = latents.schedule(num_points, num_frames, closed=closed)
    legs, last = (num_points, num_frames) if closed else (num_points - 1, num_frames - 1)
    assert len(at) == num_frames
    assert [at[round(point * last / legs)] for point in range(num_points)] == list(range(num_points))
    assert (at.diff() > 0).all()
    assert at[-1] < num_points if closed else at[-1] == num_points - 1


def test_known_schedules():
    assert latents.schedule(3, 5).tolist() == [0, 0.5, 1, 1.5, 2]
    assert latents.schedule(3, 6, closed=True).tolist() == [0, 0.5, 1, 1.5, 2, 2.5]


@pytest.mark.parametrize(("num_points", "num_frames"), [(1, 5), (0, 5), (4, 3)])
def test_schedule_without_a_frame_for_each_of_two_points_is_refused(num_points, num_frames):
    with pytest.raises(ValueError, match=f"{num_points} points in {num_frames} frames"):
        latents.schedule(num_points, num_frames)


@pytest.mark.parametrize("way", WAYS)
def test_walk_is_at_its_points_exactly_and_closes(way):
    points = latents.from_seeds(range(6), 20, "normal").view(3, 2, 20)  # two walks of three points
    z = latents.walk(points, latents.schedule(3, 12, closed=True), way)
    assert z.shape == (12, 2, 20)
    assert torch.equal(z[[0, 4, 8]], points)
    torch.testing.assert_close(z[10], way(points[2], points[0], torch.tensor([0.5])), rtol=1e-6, atol=1e-6)
    alone = latents.walk(points[:, 1], latents.schedule(3, 12, closed=True), way)
    assert torch.equal(z[:, 1], alone)


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
