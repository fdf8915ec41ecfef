import numpy as np
import pytest
import torch

from counted import Counted
from facegan import neighbours
from facegan.neighbours import search
from facegan.networks.dcgan import DCGAN


def brute_force(queries, images, k):
    """Distances and indices in float64, all pairs at once, ties by index."""
    a, b = (each.reshape(len(each), -1).astype(np.float64) / 127.5 - 1 for each in (queries, images))
    squared = np.square(a[:, None] - b[None]).mean(2)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squared, order, 1)), order


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(search, "_CHUNK_BYTES", 7 * 3 * 16 * 16 * 4)  # 7 images
    monkeypatch.setattr(search, "_QUERY_BYTES", 20 * 3 * 16 * 16 * 4)  # 20 queries a pass


@pytest.mark.parametrize("k", [1, 3, 10])
def test_neighbours_in_pixels_are_those_of_brute_force_in_float64(faces, small_chunks, k):
    queries, images = faces(45, 1), faces(100, 2)
    found = neighbours.find_nearest(queries, images, neighbours.pixels(), k=k)
    distances, indices = brute_force(queries, images, k)
    assert np.array_equal(found.indices, indices)
    assert np.allclose(found.distances, distances, rtol=0, atol=1e-7)
    assert not found.mirrored.any()


def test_chunks_and_passes_change_nothing(faces, monkeypatch):
    queries, images = faces(45, 1), faces(100, 2)
    at_once = neighbours.find_nearest(queries, images, neighbours.pixels(), k=3)
    monkeypatch.setattr(search, "_CHUNK_BYTES", 7 * 3 * 16 * 16 * 4)
    monkeypatch.setattr(search, "_QUERY_BYTES", 20 * 3 * 16 * 16 * 4)
    parts = neighbours.find_nearest(queries, images, neighbours.pixels(), k=3)
    assert np.array_equal(at_once.indices, parts.indices)
    assert np.array_equal(at_once.distances, parts.distances)


def test_equal_images_are_given_in_their_order(faces, small_chunks):
    one, others = faces(1, 1), faces(20, 2)
    images = np.concatenate([one, others, one, one, others, one])
    found = neighbours.find_nearest(one, images, neighbours.pixels(), k=4)
    assert found.indices.tolist() == [[0, 21, 22, 43]]
    assert found.distances.tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_distance_of_an_almost_perfect_copy_is_not_lost_in_rounding(faces):
    images = faces(50, 1)
    queries = images[30:31].copy()
    queries[0, 0, 0, 0] ^= 1  # one level of one value
    found = neighbours.find_nearest(queries, images, neighbours.pixels())
    assert found.indices.tolist() == [[30]]
    assert found.distances[0, 0] == pytest.approx(2 / 255 / (3 * 16 * 16) ** 0.5, rel=1e-4)


def test_mirror_images_count_as_the_image_and_only_once(faces, small_chunks):
    queries, images = faces(30, 1), faces(60, 2)
    queries[:10] = images[:10, :, :, ::-1]
    found = neighbours.find_nearest(queries, images, neighbours.pixels(), k=5, mirror=True)
    plain, flipped = (brute_force(queries, each, 60) for each in (images, images[..., ::-1]))
    both = np.full((2, 30, 60), np.nan)
    for view, (distances, indices) in zip(both, (plain, flipped), strict=True):
        np.put_along_axis(view, indices, distances, 1)
    smaller = both.min(0)
    assert np.array_equal(found.indices, np.argsort(smaller, axis=1)[:, :5])
    assert np.allclose(found.distances, np.sort(smaller, axis=1)[:, :5], rtol=0, atol=1e-7)
    assert np.array_equal(found.mirrored, np.take_along_axis(both[1] < both[0], found.indices, 1))
    assert found.mirrored[:10, 0].all()
    assert neighbours.find_nearest(queries, images, neighbours.pixels()).distances[:10].min() > 0.1


def test_neighbours_in_features_are_those_of_brute_force(faces, small_chunks):
    queries, images = faces(20, 1), faces(40, 2)
    torch.manual_seed(0)
    space = neighbours.features(DCGAN(ndf=8).discriminator(16, 3).eval())
    found = neighbours.find_nearest(queries, images, space, k=2)
    a, b = (space.rows(torch.from_numpy(each) / 127.5 - 1).double().numpy() for each in (queries, images))
    squared = np.square(a[:, None] - b[None]).sum(2)
    assert np.array_equal(found.indices, np.argsort(squared, axis=1)[:, :2])
    assert np.allclose(found.distances, np.sort(squared, axis=1)[:, :2], rtol=1e-4)


def test_progress_counts_the_images_of_every_pass(faces, small_chunks):
    reporter = Counted()
    neighbours.find_nearest(faces(45, 1), faces(30, 2), neighbours.pixels(), reporter=reporter)
    assert reporter.counts[0] == (7, 90)
    assert reporter.counts[-1] == (90, 90)
    assert sorted(reporter.counts) == reporter.counts
