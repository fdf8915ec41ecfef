import errno
import os
import shutil

import pytest

from facegan.doctor import places


def test_speed_is_measured_and_nothing_is_left(workplace):
    (check,) = places.look_at_disk(0)
    assert (check.name, check.status) == ("current folder", "ok")
    assert " GB free of " in check.found and check.found.endswith(" MB/s")
    assert check.facts["write_bytes_per_second"] > 0
    assert check.facts["total_bytes"] == shutil.disk_usage(workplace).total
    assert list(workplace.iterdir()) == []


def test_at_most_32_mib_are_written_and_all_reach_the_disk(workplace, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    places.bytes_per_second(workplace)
    assert sizes == [number * 4 * 2**20 for number in range(1, 9)]


def test_slow_disk_is_not_written_for_long(workplace, monkeypatch):
    monkeypatch.setattr(places, "MOST_SECONDS", 0.0)
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    places.bytes_per_second(workplace)
    assert sizes == [4 * 2**20]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_nothing_is_left_when_writing_is_stopped(workplace, monkeypatch, error):
    seen = []

    def stop(file):
        seen.append([path.name for path in workplace.iterdir()])
        raise error

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises((KeyboardInterrupt, OSError)):
        places.bytes_per_second(workplace)
    assert seen == [[]]  # not even while it is written
    assert list(workplace.iterdir()) == []


def test_runs_are_written_to_runs_where_there_is_such_a_folder(workplace):
    (workplace / "runs").mkdir()
    here, runs = places.look_at_disk(0)
    assert (here.name, runs.name) == ("current folder", "runs")
    assert "write_bytes_per_second" not in here.facts
    assert runs.facts["write_bytes_per_second"] > 0
    assert list((workplace / "runs").iterdir()) == []


def test_place_that_cannot_be_written_is_wrong(workplace):
    (workplace / "runs").write_text("a file")
    runs = places.look_at_disk(0)[1]
    assert runs.status == "wrong"
    assert runs.found.endswith("; cannot be written (Not a directory)")
    assert runs.mend == "go to a folder that can, or give train --run"


def test_too_little_room_for_a_run_is_wrong(workplace):
    needed = shutil.disk_usage(workplace).total + 1
    (check,) = places.look_at_disk(needed)
    assert check.status == "wrong"
    assert check.found.endswith(f"; a run of the default settings keeps {needed / 1e9:,.1f} GB")


def test_cache_is_told_by_place_and_size(cache):
    (check,) = places.look_at_cache()
    assert check.found.startswith(f"{cache}: empty; ")
    (cache / "packed" / "abc").mkdir(parents=True)
    (cache / "packed" / "abc" / "images.npy").write_bytes(bytes(3_000_000))
    (cache / "packed" / "abc" / "index.json").write_bytes(bytes(200_000))
    (cache / "note").write_bytes(bytes(7))
    (check,) = places.look_at_cache()
    assert check.found.startswith(f"{cache}: holds 3 MB (note 0 MB, packed 3 MB); ")
    assert check.found.endswith(" free, can be written")
    assert check.facts["sizes_bytes"] == {"note": 7, "packed": 3_200_000}
    assert check.facts["size_bytes"] == 3_200_007


def test_cache_that_is_not_there_yet_is_not_made(cache, monkeypatch):
    monkeypatch.setenv("FACEGAN_CACHE", str(cache / "a" / "b"))
    (check,) = places.look_at_cache()
    assert check.facts["writable"] and check.status == "ok"
    assert list(cache.iterdir()) == []


def test_cache_that_cannot_be_written_is_wrong(cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("FACEGAN_CACHE", str(cache / "file" / "cache"))
    (check,) = places.look_at_cache()
    assert (check.status, check.facts["writable"]) == ("wrong", False)
    assert check.found == f"{cache / 'file' / 'cache'} cannot be written (Not a directory)"
    assert check.mend == "set the environment variable FACEGAN_CACHE to a folder that can"
