import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegan.features import Moments


def added(vectors, cuts):
    total = Moments.empty(vectors.shape[1])
    for part in np.split(vectors, cuts):
        total.add(part)
    return total


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 59), max_size=6))
def test_batches_of_any_sizes_give_the_moments_of_the_total(seed, cuts):
    vectors = np.random.default_rng(seed).normal(3, 2, (60, 5)).astype(np.float32)
    total = added(vectors, sorted(cuts))
    assert total.num == 60
    np.testing.assert_allclose(total.mean, vectors.mean(0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(total.covariance, np.cov(vectors.astype(np.float64), rowvar=False), rtol=1e-11)


def test_large_means_cost_the_covariance_no_digits_beyond_those_of_the_values():
    # Halves, so that the vectors are exact at any mean, and their covariance is known.
    small = np.random.default_rng(0).integers(-8, 9, (400, 4)) / 2
    moved = added(small + 2.0**24, [64, 128, 300])
    np.testing.assert_allclose(moved.covariance, np.cov(small, rowvar=False), rtol=1e-6)


def test_parts_in_either_order_sum_to_the_total():
    vectors = np.random.default_rng(0).normal(5, 1, (50, 4))
    a, b = Moments.of(vectors[:20]), Moments.of(vectors[20:])
    for both in (a + b, b + a, a + b + Moments.empty(4), Moments.empty(4) + a + b):
        assert both.num == 50
        np.testing.assert_allclose(both.mean, vectors.mean(0), rtol=1e-14)
        np.testing.assert_allclose(both.covariance, np.cov(vectors, rowvar=False), rtol=1e-12)


def test_a_sum_leaves_its_parts_as_they_are():
    vectors = np.random.default_rng(0).normal(0, 1, (30, 3))
    a, b = Moments.of(vectors[:10]), Moments.of(vectors[10:])
    before = a.mean.copy(), a.scatter.copy()
    (a + b).add(vectors)
    (a + Moments.empty(3)).add(vectors)
    assert a.num == 10
    np.testing.assert_array_equal(a.mean, before[0])
    np.testing.assert_array_equal(a.scatter, before[1])


def test_a_batch_is_added_where_the_scatter_lies():
    total = Moments.empty(6)
    place = total.scatter.ctypes.data
    total.add(np.random.default_rng(0).normal(0, 1, (9, 6)))
    total.add(np.random.default_rng(1).normal(0, 1, (4, 6)))
    assert total.scatter.ctypes.data == place


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_vectors_that_were_given_are_not_changed(kind):
    vectors = np.random.default_rng(0).normal(1, 1, (8, 3)).astype(kind)
    before = vectors.copy()
    Moments.of(vectors)
    np.testing.assert_array_equal(vectors, before)
