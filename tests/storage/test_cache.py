import os
import time

import pytest

from facegan.storage.cache import CLASSIFIERS, PACKED, PROJECTIONS, REFERENCES, computed_files, remove


def aged(path, days):
    os.utime(path, (time.time() - days * 86400,) * 2)


def test_an_entry_is_read_as_it_was_written_and_marked_as_used(cache):
    path = PROJECTIONS.write("a.json", b"[1]")
    assert path == cache / "projections" / "a.json"
    aged(path, 9)
    assert PROJECTIONS.read("a.json", lambda path: path.read_bytes()) == b"[1]"
    assert PROJECTIONS.entries()[0].days_unused < 1


def test_a_missing_entry_is_none(cache):
    assert PROJECTIONS.read("a.json", lambda path: path.read_bytes()) is None
    assert PROJECTIONS.entries() == [] and computed_files() == []


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError, RuntimeError])
def test_an_entry_that_cannot_be_loaded_is_none_and_does_not_count_as_used(cache, error):
    def load(path):
        raise error

    aged(PROJECTIONS.write("a.json", b"[1]"), 9)
    assert PROJECTIONS.read("a.json", load) is None
    assert PROJECTIONS.entries()[0].days_unused > 8


def test_an_interrupted_write_leaves_the_old_entry(cache):
    def fail(path):
        raise OSError(28, "No space left on device")

    REFERENCES.write("a", b"old")
    with pytest.raises(OSError, match="No space left"):
        REFERENCES.write("a", fail)
    assert [path.read_bytes() for path in REFERENCES.path.iterdir()] == [b"old"]


def test_files_are_listed_by_kind_and_the_last_used_first(cache):
    for name, days in (("b", 2), ("a", 5), ("c", 0)):
        aged(REFERENCES.write(name, bytes(7)), days)
    PROJECTIONS.write("e", b"")
    CLASSIFIERS.write("d", b"")
    found = computed_files()
    assert [(each.kind[0], each.path.name) for each in found] == [
        ("r", "c"), ("r", "b"), ("r", "a"), ("c", "d"), ("p", "e"),
    ]  # fmt: skip
    assert [round(each.days_unused) for each in found] == [0, 2, 5, 0, 0]
    assert found[0].size_bytes == 7 and all(each.useless is None for each in found)


def test_folders_are_entries_and_are_removed_with_all_they_hold(cache):
    folder = PACKED.path / "set"
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(bytes(5))
    (entry,) = PACKED.entries()
    assert (entry.path, entry.size_bytes) == (folder, 5)
    remove(entry.path)
    assert list(PACKED.path.iterdir()) == []
