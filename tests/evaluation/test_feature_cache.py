import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from facegan.data.image_set import ImageSet
from facegan.evaluation.feature_cache import cached_embedding
from facegan.evaluation.measure import measure
from facegan.storage.cache import REFERENCES


def entries():
    return sorted(path.name for path in REFERENCES.path.iterdir()) if REFERENCES.path.is_dir() else []


def embedded(extractor, images, rows=range(20), **more):
    return cached_embedding(extractor, ImageSet(images, "faces/"), np.array(rows), **more)


def assert_same(one, other):
    np.testing.assert_array_equal(one.features, other.features)
    assert (one.logits is None) == (other.logits is None)
    if one.logits is not None:
        np.testing.assert_array_equal(one.logits, other.logits)
    assert one.moments.num == other.moments.num
    np.testing.assert_array_equal(one.moments.mean, other.moments.mean)
    np.testing.assert_array_equal(one.moments.scatter, other.moments.scatter)


@pytest.mark.parametrize("classes", [None, 2])
def test_cached_equals_computed(means, faces, classes):
    plain, shown = means()
    see = plain.see if classes is None else lambda images: (plain.see(images)[0], plain.see(images)[0][:, :2])
    extractor = replace(plain, see=see)
    computed = embedded(extractor, faces(20, 0))
    num = len(shown)
    assert_same(embedded(extractor, faces(20, 0)), computed)
    assert len(shown) == num and len(entries()) == 1 and entries()[0].startswith("random-")


def test_evaluation_from_the_cache_gives_the_same_numbers(metrics, means, pair, faces):
    given = pair(faces(20, 0), faces(6, 1))
    extractor, shown = means()
    first = measure(metrics, given, {"random": extractor})
    shown.clear()
    second = measure(metrics, given, {"random": extractor})
    assert len(shown) == 6  # the generated images alone
    assert [(each.value, each.floor) for each in first] == [(each.value, each.floor) for each in second]


CHANGES = {
    "image": lambda e, r, rows: (e, changed(r), rows),
    "rows": lambda e, r, rows: (e, r, rows[::-1]),
    "fewer rows": lambda e, r, rows: (e, r, rows[:-1]),
    "weights": lambda e, r, rows: (replace(e, digest="b" * 64), r, rows),
    "version": lambda e, r, rows: (replace(e, version=2), r, rows),
    "resize": lambda e, r, rows: (replace(e, resize="to 299"), r, rows),
}


def changed(images):
    images = images.copy()
    images[7, 0, 0, 0] ^= 1
    return images


@pytest.mark.parametrize("what", CHANGES)
def test_everything_that_the_numbers_depend_on_changes_the_key(means, faces, what):
    extractor, shown = means()
    embedded(extractor, faces(20, 0))
    num = len(shown)
    extractor, given, rows = CHANGES[what](extractor, faces(20, 0), range(20))
    embedded(extractor, given, rows)
    assert len(shown) == num + len(rows) and len(entries()) == 2


def test_another_version_of_torch_changes_the_key(means, faces, monkeypatch):
    extractor, shown = means()
    embedded(extractor, faces(20, 0))
    monkeypatch.setattr(torch, "__version__", "99.0")
    embedded(extractor, faces(20, 0))
    assert len(shown) == 40


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "another's", "folder"])
def test_unusable_entry_is_computed_again(means, faces, damage, reporter):
    extractor, shown = means()
    computed = embedded(extractor, faces(20, 0))
    path = REFERENCES.path / entries()[0]
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-9])
    elif damage == "flipped":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(b"something else altogether")
    elif damage == "another's":
        embedded(extractor, faces(20, 1))
        (other,) = set(entries()) - {path.name}
        (REFERENCES.path / other).replace(path)
    else:
        path.unlink()
        path.mkdir()
    shown.clear()
    assert_same(embedded(extractor, faces(20, 0), reporter=reporter), computed)
    assert len(shown) == 20
    if damage == "folder":
        assert len(reporter.lines) == 1
    else:
        assert reporter.lines == []
        assert_same(embedded(extractor, faces(20, 0)), computed)
        assert len(shown) == 20  # the new file is of use


def test_cache_that_cannot_be_written_costs_only_the_caching(means, faces, cache, reporter):
    (cache / "references").write_text("a file where the folder should be")
    extractor, shown = means()
    for _ in range(2):
        embedded(extractor, faces(20, 0), reporter=reporter)
    assert len(shown) == 40 and len(reporter.lines) == 2
    assert reporter.lines[0].startswith(f"{REFERENCES.path}: features of the real images cannot be stored there (")


def test_full_disk_costs_only_the_caching(means, faces, monkeypatch, reporter):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facegan.evaluation.feature_cache.write_tensors", full)
    embedded(means()[0], faces(20, 0), reporter=reporter)
    assert reporter.lines == [
        f"{REFERENCES.path}: features of the real images cannot be stored there (No space left on device)"
    ]


def test_vectors_of_a_network_that_does_not_last_are_not_cached(means, faces):
    embedded(means(lasting=False)[0], faces(20, 0))
    assert entries() == []


def test_use_is_remembered(means, faces):
    extractor, _ = means()
    embedded(extractor, faces(20, 0))
    path = REFERENCES.path / entries()[0]
    os.utime(path, (1e9, 1e9))
    embedded(extractor, faces(20, 0))
    assert path.stat().st_mtime > 1.5e9
