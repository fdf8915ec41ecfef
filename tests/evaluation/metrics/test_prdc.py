import contextlib
import io

import numpy as np
import pytest
from prdc import compute_prdc

from campaign import NUM_SIMULATIONS, assert_95_percent_coverage
from facegan.evaluation.metrics import prdc
from facegan.evaluation.metrics.prdc import coverage, cross_distances, density, nearest_neighbours, precision, recall


def normal(num, seed=0, *, shift=0.0, scale=1.0, width=6):
    return (np.random.default_rng(seed).normal(0, 1, (num, width)) * scale + shift).astype(np.float32)


def ours(real, fake, k):
    cross, reals, fakes = cross_distances(real, fake), nearest_neighbours(real), nearest_neighbours(fake)
    return {
        "precision": precision(cross, reals, k),
        "recall": recall(cross, fakes, k),
        "density": density(cross, reals, k),
        "coverage": coverage(cross, reals, k),
    }


REAL = normal(90)
CASES = {
    "near": (REAL, normal(70, 1, shift=0.2)),
    "narrow": (REAL, normal(70, 1, scale=0.4)),
    "far": (REAL, normal(70, 1, shift=9)),
    "a part of the reals": (REAL, REAL[:50]),
    "the reals": (REAL, REAL.copy()),
    "far from the origin": (REAL + 3000, normal(70, 1, shift=3000)),
    "one image": (REAL, np.repeat(REAL.mean(0, keepdims=True), 60, 0)),
    "one real image": (REAL, np.repeat(REAL[:1], 60, 0)),
    "reals that repeat": (np.repeat(REAL[:30], 3, 0), normal(70, 1)),
    "both repeat": (np.repeat(REAL[:15], 6, 0), np.repeat(REAL[:20], 7, 0)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reference_implementation_gives_the_same(case, monkeypatch):
    monkeypatch.setattr(prdc, "BLOCK", 32)  # several blocks, the last of them short
    real, fake = CASES[case]
    for k in (1, 5):
        with contextlib.redirect_stdout(io.StringIO()):
            theirs = compute_prdc(real, fake, k)
        assert {key: each.value for key, each in ours(real, fake, k).items()} == pytest.approx(theirs, abs=1e-12)


def test_distances_are_those_of_the_differences():
    real, fake = normal(40) + 500, normal(30, 1) + 500
    truth = np.sqrt(np.square(real[:, None].astype(np.float64) - fake[None]).sum(2))
    np.testing.assert_allclose(cross_distances(real, fake), truth, rtol=1e-6)


@pytest.mark.parametrize("block", [7, 16, 1000])
def test_nearest_neighbours_are_those_of_a_full_search(block, monkeypatch):
    monkeypatch.setattr(prdc, "BLOCK", block)
    vectors = normal(60, 3)
    found = nearest_neighbours(vectors)
    distances = np.sqrt(np.square(vectors[:, None].astype(np.float64) - vectors[None]).sum(2))
    order = np.argsort(distances, axis=1)[:, 1:41]  # the first is the vector itself
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_allclose(found.distances, np.take_along_axis(distances, order, 1), rtol=1e-6)


def test_equal_vectors_are_0_apart_whatever_their_length():
    vectors = np.repeat(normal(5, width=300) * 1e4 + 1e5, 4, 0)
    assert (nearest_neighbours(vectors).radii(3) == 0).all()
    assert (nearest_neighbours(vectors).radii(4) > 0).all()
    assert (cross_distances(vectors, vectors)[0, :4] == 0).all()


def test_a_ball_of_radius_0_holds_nothing_not_even_the_image_at_its_centre():
    found = ours(REAL, np.repeat(REAL[:1], 60, 0), 3)
    assert found["recall"].value == 0
    assert found["precision"].value == 1


@NUM_SIMULATIONS
@pytest.mark.parametrize(("num", "shift", "scale"), [(60, 0.0, 1.0), (120, 0.4, 0.8)])
def test_intervals_cover_the_share_expected_with_these_reals(num, shift, scale, num_simulations):
    real = normal(120)
    reals = nearest_neighbours(real)
    found = {precision: [], density: [], coverage: [], recall: []}
    for seed in range(1, num_simulations + 1):
        fake = normal(num, seed, shift=shift, scale=scale)
        cross = cross_distances(real, fake)
        for measure in (precision, density, coverage):
            found[measure].append(measure(cross, reals, 3))
        found[recall].append(recall(cross, nearest_neighbours(fake), 3, seed=seed))
    for each in found.values():
        assert_95_percent_coverage(each, max_width=2)  # ten parts overestimate the scatter of recall


def test_no_interval_of_recall_unless_asked_for():
    cross, fakes = cross_distances(REAL, REAL[:40]), nearest_neighbours(REAL[:40])
    assert recall(cross, fakes, 3, interval=False).interval is None
