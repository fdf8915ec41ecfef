import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from campaign import NUM_SIMULATIONS, assert_95_percent_coverage
from facegan.evaluation.metrics.fid import Gaussian, frechet_distance
from facegan.features import Moments

INDEX = np.arange(1, 41)
SPECTRA = {
    "flat": np.ones(40),
    "falling": 1 / INDEX,
    "steep": 10.0 ** (-0.3 * INDEX),
    "one direction": (INDEX == 1) * 1.0,
    "first half": (INDEX <= 20) / INDEX,
    "second half": (INDEX > 20) * 1.0,
    "nothing": np.zeros(40),
}


def fitted(vectors):
    return Gaussian.fit(Moments.of(vectors), vectors)


def of_covariance(mean, covariance):
    return Gaussian.fit(Moments(2, mean, covariance))


@pytest.mark.parametrize("real", SPECTRA)
def test_covariances_that_commute_give_the_closed_form_though_singular(real):
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 40)))[0]
    mean, a = np.linspace(-1, 1, 40), SPECTRA[real]
    for fake, b in SPECTRA.items():
        gaussians = [of_covariance(at, (basis * values) @ basis.T) for at, values in ((mean, a), (0 * mean, b))]
        truth = mean @ mean + np.square(np.sqrt(a) - np.sqrt(b)).sum()
        near = pytest.approx(truth, abs=1e-8 * (a.sum() + b.sum()) + 1e-13)
        assert frechet_distance(*gaussians).value == near, fake


def test_few_vectors_give_the_exact_distance():
    """Vectors along axes: covariances of rank n - 1, whose distance is known."""
    real = np.diag([3.0, 2, 1, 0, 0, 0, 0])[:3] * 2
    fake = np.roll(real, 3, axis=1)  # in other directions alone: the covariances share nothing
    means = np.square(real.mean(0) - fake.mean(0)).sum()
    traces = np.cov(real, rowvar=False).trace() + np.cov(fake, rowvar=False).trace()
    assert frechet_distance(fitted(real), fitted(fake)).value == pytest.approx(means + traces, rel=1e-14)


@pytest.mark.parametrize("num", [5, 30, 31, 200])
def test_few_and_many_vectors_agree_with_the_root_of_the_matrix(num):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, (400, 30)), rng.normal(0.1, 1.3, (num, 30))
    a, b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = sqrtm(a)  # of a matrix of full rank, which is where it is sound
    inner = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    truth = np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * inner
    assert frechet_distance(fitted(real), fitted(fake)).value == pytest.approx(truth, abs=1e-6 * np.trace(a + b))


def test_torch_fidelity_gives_the_same():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, (300, 20)), rng.gamma(2, 1, (250, 20))
    stats = [fid_features_to_statistics(torch.from_numpy(each)) for each in (real, fake)]
    assert frechet_distance(fitted(real), fitted(fake)).value == pytest.approx(
        fid_statistics_to_metric(*stats, False)[KEY_METRIC_FID], rel=1e-10
    )


def test_centred_vectors_are_the_factor_only_when_they_are_all_and_no_more_than_features():
    vectors = np.random.default_rng(0).normal(0, 1, (30, 12)).astype(np.float32)
    assert Gaussian.fit(Moments.of(vectors[:9]), vectors[:9]).factor.shape == (12, 9)
    assert Gaussian.fit(Moments.of(vectors), vectors).factor.shape == (12, 12)
    part = Gaussian.fit(Moments.of(vectors), vectors[:9])
    np.testing.assert_allclose(part.factor @ part.factor.T, np.cov(vectors, rowvar=False), atol=1e-6)


def test_directions_known_to_rounding_alone_are_none():
    vectors = np.random.default_rng(0).normal(0, 1, (200, 3)) @ np.random.default_rng(1).normal(0, 1, (3, 12))
    assert Gaussian.fit(Moments.of(vectors + 100)).factor.shape == (12, 3)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), n=st.integers(2, 30), m=st.integers(2, 30))
def test_symmetric_and_nothing_between_equals(seed, n, m):
    rng = np.random.default_rng(seed)
    a, b = fitted(rng.normal(0, 1, (n, 12))), fitted(rng.normal(0.2, 2, (m, 12)))
    there = frechet_distance(a, b).value
    assert there > 0
    assert frechet_distance(b, a).value == pytest.approx(there, rel=1e-12)
    assert 0 <= frechet_distance(a, a).value < 1e-12


def test_turning_both_sides_changes_nothing():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, (50, 8)), rng.normal(0.3, 1.2, (40, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    turned = frechet_distance(fitted(real @ turn + 7), fitted(fake @ turn + 7)).value
    assert turned == pytest.approx(frechet_distance(fitted(real), fitted(fake)).value, rel=1e-11)


@pytest.mark.parametrize("num", [8, 60])
def test_the_influence_is_what_a_fake_moves_the_distance_by(num):
    """Delete-one jackknife, computed the long way, next to the interval that needs no second distance."""
    rng = np.random.default_rng(0)
    real, fake = fitted(rng.normal(0, 1, (500, 9))), rng.normal(0.5, 0.7, (num * 10, 9))
    found = frechet_distance(real, fitted(fake), fake)
    without = [frechet_distance(real, fitted(np.delete(fake, row, 0))).value for row in range(len(fake))]
    error = np.std(without) * (len(fake) - 1) ** 0.5
    assert (found.interval[1] - found.value) / 1.96 == pytest.approx(error, rel=0.1)


@NUM_SIMULATIONS
@pytest.mark.parametrize(("num", "shift"), [(12, 0.3), (100, 0.3), (100, 0.0)])
def test_intervals_cover_the_distance_expected_of_as_many_fakes(num, shift, num_simulations):
    rng = np.random.default_rng(0)
    scale = 1 / np.arange(1, 17) ** 0.5
    real = fitted(rng.normal(0, 1, (3000, 16)) * scale)
    fakes = (rng.normal(shift, 1, (num, 16)) * scale for _ in range(num_simulations))
    assert_95_percent_coverage([frechet_distance(real, fitted(fake), fake) for fake in fakes])


def test_a_generator_of_one_image_has_a_distance_and_an_interval():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, (50, 4)), np.ones((20, 4))
    found = frechet_distance(fitted(real), fitted(fake), fake)
    expected = np.square(real.mean(0) - 1).sum() + np.cov(real, rowvar=False).trace()
    assert found.value == pytest.approx(expected)
    assert found.interval == pytest.approx((expected, expected))  # other fakes would be the same again
