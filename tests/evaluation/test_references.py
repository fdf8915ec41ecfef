import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from facegan.evaluation import Known, evaluate
from facegan.evaluation.feature_cache import embedded
from facegan.evaluation.subjects import Reference
from facegan.storage.cache import REFERENCES


def kept():
    return sorted(path.name for path in REFERENCES.path.iterdir()) if REFERENCES.path.is_dir() else []


def asked(extractor, reference, rows=range(20), **more):
    return embedded(extractor, reference, np.array(rows), **more)


def assert_same(one, other):
    np.testing.assert_array_equal(one.features, other.features)
    assert (one.logits is None) == (other.logits is None)
    if one.logits is not None:
        np.testing.assert_array_equal(one.logits, other.logits)
    assert one.moments.num == other.moments.num
    np.testing.assert_array_equal(one.moments.mean, other.moments.mean)
    np.testing.assert_array_equal(one.moments.scatter, other.moments.scatter)


@pytest.mark.parametrize("classes", [None, 2])
def test_cached_equals_computed(means, reference, faces, classes):
    plain, shown = means()
    see = plain.see if classes is None else lambda pictures: (plain.see(pictures)[0], plain.see(pictures)[0][:, :2])
    extractor = replace(plain, see=see)
    computed = asked(extractor, reference(faces(20, 0)))
    num = len(shown)
    assert_same(asked(extractor, reference(faces(20, 0))), computed)
    assert len(shown) == num and len(kept()) == 1 and kept()[0].startswith("random-")


def test_evaluation_from_the_cache_gives_the_same_numbers(metrics, means, reference, subject, faces):
    given = reference(faces(20, 0)), subject(faces(6, 1))
    extractor, shown = means()
    first = evaluate(metrics, *given, {"random": extractor})
    shown.clear()
    second = evaluate(metrics, *given, {"random": extractor})
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


def changed(reference):
    from facegan.evaluation import digest_of

    pictures = reference.pictures.copy()
    pictures[7, 0, 0, 0] ^= 1
    return replace(reference, pictures=pictures, known=Known(digest=digest_of(pictures)))


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_the_numbers_depend_on_changes_the_key(means, reference, faces, what):
    extractor, shown = means()
    asked(extractor, reference(faces(20, 0)))
    num = len(shown)
    extractor, given, rows = CHANGES[what](extractor, reference(faces(20, 0)), range(20))
    asked(extractor, given, rows)
    assert len(shown) == num + len(rows) and len(kept()) == 2


def test_another_version_of_torch_changes_the_key(means, reference, faces, monkeypatch):
    extractor, shown = means()
    asked(extractor, reference(faces(20, 0)))
    monkeypatch.setattr(torch, "__version__", "99.0")
    asked(extractor, reference(faces(20, 0)))
    assert len(shown) == 40


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "another's", "folder"])
def test_what_cannot_be_used_is_made_anew(means, reference, faces, damage):
    extractor, shown = means()
    computed = asked(extractor, reference(faces(20, 0)))
    path = REFERENCES.path / kept()[0]
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-9])
    elif damage == "flipped":
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(b"something else altogether")
    elif damage == "another's":
        asked(extractor, reference(faces(20, 1)))
        (other,) = set(kept()) - {path.name}
        (REFERENCES.path / other).replace(path)
    else:
        path.unlink()
        path.mkdir()
    shown.clear()
    lines = []
    assert_same(asked(extractor, reference(faces(20, 0)), say=lines.append), computed)
    assert len(shown) == 20
    if damage == "folder":
        assert len(lines) == 1
    else:
        assert lines == []
        assert_same(asked(extractor, reference(faces(20, 0))), computed)
        assert len(shown) == 20  # the new file is of use


def test_cache_that_cannot_be_written_costs_only_the_caching(means, reference, faces, cache):
    (cache / "references").write_text("a file where the folder should be")
    extractor, shown = means()
    lines = []
    for _ in range(2):
        asked(extractor, reference(faces(20, 0)), say=lines.append)
    assert len(shown) == 40 and len(lines) == 2
    assert lines[0].startswith(f"{REFERENCES.path}: features of the real images cannot be kept there (")
    asked(extractor, reference(faces(20, 0)))  # nobody listens


def test_full_disk_costs_only_the_caching(means, reference, faces, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facegan.evaluation.feature_cache.write_tensors", full)
    lines = []
    asked(means()[0], reference(faces(20, 0)), say=lines.append)
    assert lines == [f"{REFERENCES.path}: features of the real images cannot be kept there (No space left on device)"]


def test_what_is_asked_once_is_not_kept(means, reference, faces):
    asked(means(lasting=False)[0], reference(faces(20, 0)))
    unknown = Reference(faces(20, 0), "none", "bicubic", "faces/", Known())
    asked(means()[0], unknown)
    assert kept() == []


def test_use_is_remembered(means, reference, faces):
    extractor, _ = means()
    asked(extractor, reference(faces(20, 0)))
    path = REFERENCES.path / kept()[0]
    os.utime(path, (1e9, 1e9))
    asked(extractor, reference(faces(20, 0)))
    assert path.stat().st_mtime > 1.5e9
