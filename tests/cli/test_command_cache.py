import json
import os
import re
import shutil
import time

import pytest
from PIL import Image

KEY, DAMAGED, OLD = "a" * 32, "b" * 32, "c" * 32
RANDOM, INCEPTION = f"random-{KEY}.safetensors", f"inception-{KEY}.safetensors"
CLASSIFIER = f"{KEY[:16]}-{KEY[:16]}-1.safetensors"
OURS = b'{"__metadata__":{"format":"facegan-classifier"}}'


@pytest.fixture(autouse=True)
def cache(own_cache):
    return own_cache


@pytest.fixture
def faces(workplace):
    folder = workplace / "faces"
    folder.mkdir()
    for name in ("a", "b"):
        Image.effect_noise((20, 20), 90).convert("RGB").save(folder / f"{name}.png")
    return folder


def sets(cache):
    return sorted(path.name for path in (cache / "packed").iterdir())


def reasons(facegan, *flags):
    return {
        each["path"].rpartition("/")[2]: each["reason"]
        for each in facegan("cache", "prune", *flags, "--json").json["removed"]
    }


def test_list_shows_every_set_with_its_source_and_size(facegan, faces, cache):
    facegan("pack", "faces", "--resolution", 16)
    facegan("pack", "faces", "--resolution", 32, "--set", "data.crop=center:20", "--set", "data.limit=1")
    said = facegan("cache", "list")
    assert said.code == 0 and said.out.startswith(f"{cache}: 2 packed sets, ")
    lines = re.sub(r" {2,}", "  ", said.out)
    assert f"{faces}  16x16x3, auto, bicubic" in lines and f"{faces} (limit=1)  32x32x3, center:20" in lines
    entries = facegan("cache", "list", "--json").json["entries"]
    assert sorted(each["index"]["num_images"] for each in entries) == [1, 2]
    assert all(each["useless"] is None and each["size_bytes"] > 768 for each in entries)


def test_empty_cache_is_listed_as_such(facegan, cache):
    assert facegan("cache", "list").out == f"{cache}: 0 packed sets, 0 bytes\n"
    assert facegan("cache", "prune").out == "0 packed sets removed, 0 bytes\n"


def test_prune_removes_what_is_of_no_use_and_nothing_else(facegan, faces, cache):
    facegan("pack", "faces", "--resolution", 16)
    kept = sets(cache)
    shutil.copytree("faces", "others")
    facegan("pack", "others", "--resolution", 16)
    (gone,) = set(sets(cache)) - set(kept)
    shutil.rmtree("others")
    (cache / "packed" / f".{KEY}.partial").mkdir()
    shutil.copytree(cache / "packed" / kept[0], cache / "packed" / DAMAGED)
    os.truncate(cache / "packed" / DAMAGED / "images.npy", 300)
    shutil.copytree(cache / "packed" / kept[0], cache / "packed" / OLD)
    index = json.loads((cache / "packed" / OLD / "index.json").read_text())
    index["versions"] = {"facegan": "0.1", "pillow": "9.1", "simplejpeg": "1"}
    (cache / "packed" / OLD / "index.json").write_text(json.dumps(index))
    before = sets(cache)
    assert facegan("cache", "prune", "--dry-run").out.endswith(
        "4 packed sets would be removed, " + size(cache, before, kept)
    )
    assert sets(cache) == before
    found = reasons(facegan)
    assert found.pop(DAMAGED).startswith("damaged packed images (")
    assert found.pop(OLD) == "made with pillow 9.1, simplejpeg 1; other ones are installed now"
    assert found == {gone: "its images are gone", f".{KEY}.partial": "left by a packing that was killed"}
    assert sets(cache) == kept and (faces / "a.png").exists()


def size(cache, names, but):
    from rich.filesize import decimal

    folders = [cache / "packed" / name for name in names if name not in but]
    return decimal(sum(file.stat().st_size for folder in folders for file in folder.iterdir())) + "\n"


def test_set_that_was_packed_again_since_is_of_no_use(facegan, faces, cache):
    facegan("pack", "faces", "--resolution", 16)
    old = sets(cache)
    os.utime(cache / "packed" / old[0], (time.time() - 9,) * 2)
    Image.new("RGB", (20, 20)).save(faces / "c.png")
    facegan("pack", "faces", "--resolution", 16)
    assert reasons(facegan) == {old[0]: "the images have changed since, and were packed again"}


def test_older_than_counts_from_the_last_use(facegan, faces, cache):
    facegan("pack", "faces", "--resolution", 16)
    (name,) = sets(cache)
    os.utime(cache / "packed" / name, (time.time() - 40 * 86400,) * 2)
    assert reasons(facegan, "--older-than", 50) == {}
    facegan("pack", "faces", "--resolution", 16)
    assert reasons(facegan, "--older-than", 30) == {}
    os.utime(cache / "packed" / name, (time.time() - 40 * 86400,) * 2)
    assert reasons(facegan, "--older-than", 30) == {name: "not used for 40 days"}


def test_all_clears_the_cache(facegan, faces, cache):
    facegan("pack", "faces", "--resolution", 16)
    assert list(reasons(facegan, "--all").values()) == ["asked for"] and sets(cache) == []


def test_what_is_being_packed_is_left_alone(facegan, cache):
    from facegan.storage.locks import exclusive_lock, lock_file

    target = cache / "packed" / KEY
    with exclusive_lock(lock_file(target)):
        (cache / "packed" / f".{KEY}.partial").mkdir(parents=True)
        assert facegan("cache", "list", "--json").json["entries"] == []
        assert reasons(facegan, "--all") == {}
    assert list(reasons(facegan)) == [f".{KEY}.partial"]


def test_faces_of_another_seed_are_another_set(facegan, cache):
    for seed in (0, 5):
        facegan("pack", "drawn", "--resolution", 16, "--set", f"data.options={{num_images = 3, seed = {seed}}}")
    assert len(sets(cache)) == 2 and reasons(facegan) == {}


def test_set_whose_disk_may_only_be_away_is_kept(facegan, faces, cache):
    (faces.parent / "disk").mkdir()
    shutil.copytree(faces, faces.parent / "disk" / "faces")
    facegan("pack", "disk/faces", "--resolution", 16)
    shutil.rmtree("disk")
    assert reasons(facegan) == {} and len(sets(cache)) == 1


def test_what_a_killed_prune_left_is_in_nobodys_way(facegan, faces, cache):
    facegan("pack", "faces", "--resolution", 16)
    (name,) = sets(cache)
    shutil.copytree(cache / "packed" / name, cache / "packed" / f".{name}.removed-0a1b2c3d")
    assert set(reasons(facegan, "--all")) == {name, f".{name}.removed-0a1b2c3d"} and sets(cache) == []


@pytest.fixture
def files(cache):
    """A file of each kind that can be made again, and what a killed and a living writer left."""
    for kind, name in (("references", RANDOM), ("references", INCEPTION), ("classifiers", CLASSIFIER)):
        (cache / kind).mkdir(exist_ok=True)
        (cache / kind / name).write_bytes(OURS.ljust(500))
    for name, seconds in (
        (f".{RANDOM}.0a1b2c3d.safetensors", 3 * 86400),
        (f".{INCEPTION}.0a1b2c3d.safetensors", 0),
    ):
        (cache / "references" / name).write_bytes(bytes(100))
        os.utime(cache / "references" / name, (time.time() - seconds,) * 2)
    os.utime(cache / "references" / INCEPTION, (time.time() - 40 * 86400,) * 2)
    return cache


def test_projected_reference_faces_are_listed_and_pruned(facegan, cache):
    (cache / "projections").mkdir()
    (cache / "projections" / f"{KEY}.json").write_bytes(b'{"distances": [1], "rms": [1]}'.ljust(500))
    lines = [re.sub(r" {2,}", "  ", line) for line in facegan("cache", "list").out.splitlines()]
    assert f"projections/{KEY[:28]}  500 bytes  0 days  ready" in lines
    (listed,) = facegan("cache", "list", "--json").json["files"]
    assert (listed["kind"], listed["size_bytes"], listed["useless"]) == ("projections", 500, None)
    assert reasons(facegan) == {} and reasons(facegan, "--all") == {f"{KEY}.json": "asked for"}


def test_files_that_can_be_made_again_are_listed(facegan, faces, files):
    facegan("pack", "faces", "--resolution", 16)
    said = facegan("cache", "list")
    assert said.out.startswith(f"{files}: 1 packed set and 5 files, ")
    lines = [re.sub(r" {2,}", "  ", line) for line in said.out.splitlines()]
    assert f"references/{RANDOM[:28]}  500 bytes  0 days  ready" in lines
    assert f"references/{INCEPTION[:28]}  500 bytes  40 days  ready" in lines
    assert f"classifiers/{CLASSIFIER[:28]}  500 bytes  0 days  ready" in lines
    listed = facegan("cache", "list", "--json").json["files"]
    assert [each["size_bytes"] for each in listed].count(500) == 3


def test_files_are_pruned_by_age_or_all(facegan, files):
    dead = f".{RANDOM}.0a1b2c3d.safetensors"
    assert reasons(facegan) == {dead: "left by a writing that was killed"}
    assert reasons(facegan, "--older-than", 30) == {INCEPTION: "not used for 40 days"}
    assert facegan("cache", "prune", "--all", "--dry-run").out.endswith(
        "0 packed sets and 3 files would be removed, 1.1 kB\n"
    )
    assert set(reasons(facegan, "--all").values()) == {"asked for"}
    assert facegan("cache", "list").out == f"{files}: 0 packed sets, 0 bytes\n"
