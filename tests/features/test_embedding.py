import numpy as np
import pytest
import torch

from facegan.errors import FaceganError
from facegan.features import Extractor, embed, random_extractor


def means(num_features=3, **changes):
    """An extractor of the mean of each channel, which counts what it is shown."""
    shown = []

    def see(images):
        shown.append(len(images))
        vectors = images.float().mean((2, 3))
        return vectors, vectors[:, :2]

    settings = {"key": "random", "title": "means", "digest": "d", "resize": "none", "comparable": "nothing"}
    return Extractor(**settings, num_features=num_features, see=see, **changes), shown


def test_vectors_are_those_of_the_rows_in_their_order(faces):
    images, rows = faces(30, 0), np.random.default_rng(1).permutation(30)[:25]
    extractor, shown = means(batch_size=4)
    counts = []
    found = embed(extractor, images, rows, progress=lambda *each: counts.append(each))
    expected = images[rows].mean((2, 3))
    np.testing.assert_allclose(found.features, expected, rtol=1e-6)
    np.testing.assert_allclose(found.logits, expected[:, :2], rtol=1e-6)
    np.testing.assert_allclose(found.moments.mean, expected.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.moments.covariance, np.cov(expected.T), rtol=1e-4)
    assert sum(shown) == 25 and max(shown) <= 4
    assert counts[-1] == (25, 25) and [done for done, _ in counts] == list(np.cumsum(shown))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batch_size_changes_no_more_than_the_rounding(faces, batch_size):
    images, rows = faces(40, 0), np.random.default_rng(1).permutation(40)
    extractor = random_extractor(3, 16)
    one, other = embed(extractor, images, rows), embed(extractor, images, rows, batch_size=batch_size)
    np.testing.assert_allclose(one.features, other.features, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.moments.scatter, other.moments.scatter, atol=1e-6)


def test_blocks_change_no_more_than_the_rounding(faces, monkeypatch):
    images, rows = faces(40, 0), np.random.default_rng(1).permutation(40)
    one = embed(means()[0], images, rows)
    monkeypatch.setattr("facegan.features.embedding.MAX_BLOCK_BYTES", 3 * images[0].nbytes)
    other = embed(means()[0], images, rows)
    np.testing.assert_array_equal(one.features, other.features)
    np.testing.assert_allclose(one.moments.scatter, other.moments.scatter, rtol=1e-10)


def test_features_are_kept_of_the_first_images_alone_and_moments_of_all(faces, monkeypatch):
    monkeypatch.setattr("facegan.features.embedding.MAX_FEATURES", 12)
    monkeypatch.setattr("facegan.features.embedding.MAX_LOGITS", 20)
    images = faces(30, 0)
    found = embed(means(batch_size=5)[0], images, np.arange(30))
    assert found.features.shape == (12, 3) and found.logits.shape == (20, 2) and found.moments.num == 30
    np.testing.assert_allclose(found.features, images[:12].mean((2, 3)), rtol=1e-6)


@pytest.mark.parametrize("parts", [(0, 25), (9, 16), (16, 9), (3, 22)])
def test_embedding_is_the_sum_of_its_parts(faces, monkeypatch, parts):
    monkeypatch.setattr("facegan.features.embedding.MAX_FEATURES", 14)
    monkeypatch.setattr("facegan.features.embedding.MAX_LOGITS", 17)
    images, rows = faces(25, 0), np.random.default_rng(1).permutation(25)
    extractor, _ = means()
    complete = embed(extractor, images, rows)
    looked = [embed(extractor, images, each) for each in np.split(rows, parts[:1]) if len(each)]
    joined = sum(looked[1:], start=looked[0])
    np.testing.assert_array_equal(joined.features, complete.features)
    np.testing.assert_array_equal(joined.logits, complete.logits)
    np.testing.assert_allclose(joined.moments.scatter, complete.moments.scatter, rtol=1e-10)
    assert joined.moments.num == 25


def test_batch_is_halved_until_the_memory_suffices(faces):
    plain, _ = means()
    tried = []

    def see(images):
        tried.append(len(images))
        if len(images) > 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return plain.see(images)

    extractor, _ = means()
    object.__setattr__(extractor, "see", see)
    images = faces(60, 0)
    found = embed(extractor, images, np.arange(60), batch_size=64)
    np.testing.assert_array_equal(found.features, embed(plain, images, np.arange(60)).features)
    assert tried == [60, 30, 15, 7, 3] + [3] * 19  # what did not fit once is not tried again


def test_image_that_does_not_fit_alone_is_refused_in_a_line(faces):
    def see(images):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    extractor, _ = means()
    object.__setattr__(extractor, "see", see)
    with pytest.raises(FaceganError, match=r"^cpu: its memory does not suffice for one image; take --device cpu$"):
        embed(extractor, faces(3, 0), np.arange(3))


def test_vectors_that_are_not_finite_are_refused(faces):
    extractor, _ = means()
    object.__setattr__(extractor, "see", lambda images: (images.float().mean((2, 3)) / 0, None))
    with pytest.raises(FaceganError, match=r"^means: gives vectors that are not finite; images cannot be compared"):
        embed(extractor, faces(3, 0), np.arange(3))
