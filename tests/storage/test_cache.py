import os
import time

import pytest

from facegan.storage.cache import (
    CLASSIFIERS,
    PACKED,
    PROJECTIONS,
    REFERENCES,
    computed_files,
    remove,
    remove_packed,
)


def aged(path, days):
    os.utime(path, (time.time() - days * 86400,) * 2)


def test_an_entry_is_read_as_it_was_written_and_marked_as_used(cache):
    path = PROJECTIONS.write(f"{KEY}.json", PROJECTION)
    assert path == cache / "projections" / f"{KEY}.json"
    aged(path, 9)
    assert PROJECTIONS.read(f"{KEY}.json", lambda path: path.read_bytes()) == PROJECTION
    assert PROJECTIONS.entries()[0].days_unused < 1


def test_a_missing_entry_is_none(cache):
    assert PROJECTIONS.read(f"{KEY}.json", lambda path: path.read_bytes()) is None
    assert PROJECTIONS.entries() == [] and computed_files() == []


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError, RuntimeError])
def test_an_entry_that_cannot_be_loaded_is_none_and_does_not_count_as_used(cache, error):
    def load(path):
        raise error

    aged(PROJECTIONS.write(f"{KEY}.json", PROJECTION), 9)
    assert PROJECTIONS.read(f"{KEY}.json", load) is None
    assert PROJECTIONS.entries()[0].days_unused > 8


def test_an_interrupted_write_leaves_the_old_entry(cache):
    def fail(path):
        raise OSError(28, "No space left on device")

    REFERENCES.write("a", b"old")
    with pytest.raises(OSError, match="No space left"):
        REFERENCES.write("a", fail)
    assert [path.read_bytes() for path in REFERENCES.path.iterdir()] == [b"old"]


KEY = "0123456789abcdef" * 2
OURS = b'{"__metadata__":{"format":"facegan-classifier"}}'
PROJECTION = b'{"distances": [1.0], "rms": [1.0]}'


def test_files_are_listed_by_kind_and_the_last_used_first(cache):
    for name, days in (("b", 2), ("a", 5), ("c", 0)):
        aged(REFERENCES.write(f"{name}-{KEY}.safetensors", OURS), days)
    PROJECTIONS.write(f"{KEY}.json", PROJECTION)
    CLASSIFIERS.write(f"{KEY[:16]}-{KEY[:16]}-1.safetensors", OURS)
    found = computed_files()
    assert [(each.kind[0], each.path.name[:2]) for each in found] == [
        ("r", "c-"), ("r", "b-"), ("r", "a-"), ("c", "01"), ("p", "01"),
    ]  # fmt: skip
    assert [round(each.days_unused) for each in found] == [0, 2, 5, 0, 0]
    assert found[0].size_bytes == len(OURS) and all(each.useless is None for each in found)


def make_set(name, **files):
    folder = PACKED.path / name
    folder.mkdir(parents=True)
    index = b'{"packing": 2, "num_images": 1, "fingerprint": ""}'
    for file, content in {"images.npy": bytes(5), "index.json": index, **files}.items():
        (folder / file).write_bytes(content)
    return folder


def test_folders_are_entries_and_are_removed_with_all_they_hold(cache):
    folder = make_set(KEY)
    (entry,) = PACKED.entries()
    assert (entry.path, entry.size_bytes) == (folder, 5 + 50)
    remove(entry.path)
    assert list(PACKED.path.iterdir()) == []


def test_foreign_content_of_a_cache_is_no_entry(cache):
    """A folder of the user's that FACEGAN_CACHE names: what lacks our name or our content is never offered."""
    (cache / "mine").mkdir()
    for folder in (PACKED, REFERENCES, CLASSIFIERS, PROJECTIONS):
        folder.path.mkdir()
        for name in ("notes.txt", f"x-{KEY}.safetensors", f"{KEY}.json", ".env.template", f".{KEY}.json.old"):
            (folder.path / name).write_bytes(b"mine")
        (folder.path / f"link-{KEY}.safetensors").symlink_to(cache / "mine")
    make_set("holiday")
    make_set("1" * 32, **{"letter.txt": b"mine"})
    make_set("2" * 32, **{"index.json": b"{}"})
    (PACKED.path / ("3" * 32)).symlink_to(cache / "mine")
    (PACKED.path / f".{KEY}.partial").mkdir()
    (PACKED.path / f".{KEY}.partial" / "letter.txt").write_bytes(b"mine")
    assert PACKED.entries() == computed_files() == []


def test_packed_set_that_holds_other_files_is_not_removed(cache):
    folder = make_set(KEY, **{"letter.txt": b"mine"})
    with pytest.raises(OSError, match="other files"):
        remove_packed(folder)
    assert len(list(folder.iterdir())) == 3
    (cache / "link").symlink_to(make_set("1" * 32))
    with pytest.raises(OSError, match="other files"):
        remove_packed(cache / "link")
    remove_packed(cache / "nowhere")


def test_linked_folder_of_a_cache_has_no_entries(cache):
    REFERENCES.write(f"a-{KEY}.safetensors", OURS)
    REFERENCES.path.rename(cache / "elsewhere")
    REFERENCES.path.symlink_to(cache / "elsewhere")
    assert REFERENCES.entries() == []
