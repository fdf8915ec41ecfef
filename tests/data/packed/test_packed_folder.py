import errno
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from facegan.config import DataConfig
from facegan.data.folder import FolderSource
from facegan.data.packed.load import count, load, pack_cached, pack_folder
from facegan.data.packed.packed_images import DIGEST, IMAGES, INDEX, LAYOUT, NAME, PICTURES, SKIPPED, open_packed
from facegan.errors import DataError
from facegan.reporter import Callbacks

SIZE = {"resolution": 16, "channels": 3}
PEOPLE = [f"person{i:03d}" for i in range(20, 40)]


def source(path, **settings):
    return DataConfig(source=str(path), **settings)


# A packed folder as the source


def test_packed_folder_is_a_source(packed_folder, decoded):
    path, packed = packed_folder
    again = load(source(path), **SIZE)
    assert again.path == path and again.digest == packed.digest and again.index.crop == "center:20"
    assert load(source(path, crop="center:20"), **SIZE).path == path
    assert count(source(path)) == 40 and not decoded


def test_part_of_a_packed_folder_is_taken_without_loss(packed_folder):
    path, packed = packed_folder
    part = load(source(path, split="heldout"), **SIZE)
    assert 0 < len(part) < 40 and part.index.crop == "center:20"
    for name, pixels in zip(part.names, part.images, strict=True):
        np.testing.assert_array_equal(pixels, packed.images[packed.names.index(name)])
    assert count(source(path, split="heldout")) == len(part)


@pytest.mark.parametrize("channels", [3, 1])
def test_part_of_a_packed_folder_keeps_its_channels_and_attributes(tmp_path, channels):
    whole = load(source("drawn", options={"num_images": 6}), resolution=16, channels=channels)
    part = load(source(whole.path, limit=2), resolution=16, channels=channels)
    np.testing.assert_array_equal(part.images, whole.images[:2])
    assert part.attributes == {key: column[:2] for key, column in whole.attributes.items()}


@pytest.mark.parametrize(
    "settings, size, setting",
    [
        ({}, {"resolution": 32, "channels": 3}, "packed with resolution = 16, not 32; set resolution = 16"),
        ({}, {"resolution": 16, "channels": 1}, "packed with channels = 3, not 1; set channels = 3"),
        (
            {"crop": "none"},
            SIZE,
            "packed with data.crop = center:20, not none; set data.crop = center:20",
        ),
        ({"filter": "box"}, SIZE, "packed with data.filter = bicubic, not box; set data.filter = bicubic"),
        ({"draft": True}, SIZE, "packed with data.draft = False, not True; set data.draft = false"),
    ],
)
def test_packed_folder_of_other_settings_is_refused(packed_folder, settings, size, setting):
    path, _ = packed_folder
    with pytest.raises(DataError) as caught:
        load(source(path, **settings), **size)
    assert str(caught.value) == f"{path}: {setting}, or give the original images"


def test_damaged_packed_folder_is_refused(packed_folder):
    path, _ = packed_folder
    os.truncate(path / IMAGES, 500)
    with pytest.raises(DataError, match=r"kept: damaged packed images \(.+\); pack them again$"):
        load(source(path), **SIZE)
    (path / INDEX).write_text("?")
    with pytest.raises(DataError, match=r"kept: damaged packed images \(.+\); pack them again$"):
        count(source(path))


def test_folder_packed_by_another_version_is_refused(packed_folder):
    path, _ = packed_folder
    (path / INDEX).write_text(json.dumps({"crop": "auto", "names": ["a.png"]}))
    with pytest.raises(DataError) as caught:
        load(source(path), **SIZE)
    assert str(caught.value) == f"{path}: packed by another version of facegan; pack the original images again"


def test_index_that_disagrees_with_the_images_is_refused_when_it_is_read(packed_folder):
    path, packed = packed_folder
    table = pyarrow.parquet.read_table(path / PICTURES)
    pyarrow.parquet.write_table(table.slice(1), path / PICTURES)
    assert len(load(source(path), **SIZE)) == len(packed)  # training needs no names
    with pytest.raises(DataError, match=r"damaged packed images \(pictures.parquet and index.json disagree\)"):
        load(source(path, split="train"), **SIZE)
    (path / PICTURES).write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"damaged packed images \(.+\); pack them again$"):
        load(source(path, split="train"), **SIZE)


@pytest.mark.parametrize("name", ["a.png", None, 1])
def test_packed_folder_that_does_not_name_each_image_once_is_refused(packed_folder, name):
    path, packed = packed_folder
    table = pyarrow.parquet.read_table(path / PICTURES)
    place = table.column_names.index("_name")
    pyarrow.parquet.write_table(table.set_column(place, "_name", [[name] * len(packed)]), path / PICTURES)
    with pytest.raises(DataError, match=r"damaged packed images \(pictures.parquet does not name each image once\)"):
        load(source(path, split="train"), **SIZE)


# What the index keeps


def test_index_keeps_a_digest_of_each_file(folder):
    root = folder("a.png", "b.jpg")
    packed = load(source(root), **SIZE)
    assert packed.digests == [hashlib.sha256((root / name).read_bytes()).digest() for name in ("a.png", "b.jpg")]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_reading_the_names_leaves_no_thread_with_the_file(folder):
    root = folder("a.png", "b.jpg")
    packed = load(source(root), **SIZE)
    code = (
        "import os, sys, pyarrow.parquet; from pathlib import Path\n"
        "from facegan.data.packed.packed_images import open_packed\n"
        "before = os.listdir('/proc/self/task'); open_packed(Path(sys.argv[1])).digests\n"
        "print(len(os.listdir('/proc/self/task')) - len(before))"
    )
    ended = subprocess.run([sys.executable, "-c", code, packed.path], capture_output=True, text=True, check=True)
    assert ended.stdout == "0\n"


def test_index_says_how_the_images_were_made(folder):
    root = folder("a.jpg", "b.jpg", size=(64, 64))
    index = load(source(root, crop="center:60", filter="box", draft=True), **SIZE).index
    made = (
        index.source,
        index.selection,
        index.num_images,
        index.crop,
        index.filter,
        index.draft,
        index.resolution,
        index.channels,
    )
    assert made == (str(root), "all", 2, "center:60", "box", True, 16, 3)
    assert set(index.versions) == {"facegan", "pillow", "simplejpeg"}


def test_attribute_of_mixed_kinds_is_refused(folder, monkeypatch):
    root = folder("a.png", "b.png")
    monkeypatch.setattr(FolderSource, "attributes", lambda self, names: {"mood": ["glad", 3]})
    with pytest.raises(DataError) as caught:
        load(source(root), **SIZE)
    assert str(caught.value) == f"{root}: attribute 'mood' mixes words, numbers or others; give it one kind"
    monkeypatch.setattr(FolderSource, "attributes", lambda self, names: {"_sha256": ["a", "b"]})
    with pytest.raises(DataError, match="an attribute is called '_sha256', which the index reserves"):
        load(source(root), **SIZE)


def test_opening_reads_neither_names_nor_images(store):
    folder, num = store(num=1), 20_000
    index = json.loads((folder / INDEX).read_text()) | {"num_images": num, "resolution": 64}
    (folder / INDEX).write_text(json.dumps(index))
    images = np.lib.format.open_memmap(folder / IMAGES, "w+", np.uint8, (num, 3, 64, 64))  # sparse on the disk
    (folder / PICTURES).write_bytes(b"never read")
    tracemalloc.start()
    packed = load(source(folder), resolution=64, channels=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(packed) == num and peak < 10 * 2**20 < images.nbytes


def test_index_says_which_images_were_chosen(folder):
    root = folder(*(f"{name}/1.png" for name in PEOPLE))
    assert load(source(root, split="train", limit=2), **SIZE).index.selection == "split=train limit=2"


# Comparing by content


def test_change_that_keeps_size_and_time_is_found_by_content_only(folder, noise, decoded):
    root = folder("a.bmp", "b.bmp")
    before = load(source(root), **SIZE)
    status = (root / "a.bmp").stat()
    noise(77).save(root / "a.bmp")
    os.utime(root / "a.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(source(root), **SIZE).digest == before.digest and len(decoded) == 2
    verified = pack_cached(source(root), **SIZE, verify=True)[0]
    assert verified.digest != before.digest and verified.path == before.path and len(decoded) == 4
    assert pack_cached(source(root), **SIZE, verify=True)[0].digest == verified.digest and len(decoded) == 4


def test_comparing_shows_its_progress(folder):
    root, calls = folder("a.png", "b.png"), []
    load(source(root), **SIZE)
    reporter = Callbacks(progress={"packing": lambda *call: calls.append(call)})
    pack_cached(source(root), **SIZE, verify=True, reporter=reporter)
    assert calls == [(1, 2), (2, 2)]


# A packed folder of one's own


def test_pack_folder_writes_what_load_gives(folder, tmp_path):
    root = folder("a.png", "b.jpg")
    packed, written = pack_folder(source(root, crop="center:20"), tmp_path / "mine", **SIZE)
    cached = load(source(root, crop="center:20"), **SIZE)
    assert written and packed.path == tmp_path / "mine" and packed.digest == cached.digest
    assert load(source(tmp_path / "mine"), **SIZE).digest == cached.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "mine"]


def test_pack_folder_of_the_same_images_is_left_as_it_is(folder, tmp_path, decoded):
    root = folder("a.png", "b.png")
    first, _ = pack_folder(source(root), tmp_path / "mine", **SIZE)
    for verify in (False, True):
        again, written = pack_folder(source(root), tmp_path / "mine", **SIZE, verify=verify)
        assert not written and again.digest == first.digest
    assert len(decoded) == 2


def test_pack_folder_refuses_to_replace_anything(folder, tmp_path, noise):
    root = folder("a.bmp", "b.bmp")
    target = tmp_path / "mine"
    pack_folder(source(root), target, **SIZE)
    other = "choose another folder"
    moved = f"packed from other images than {root} now holds; {other}, or remove this one"
    for settings, resolution, message in (
        ({}, 32, f"packed with resolution = 16, not 32; set resolution = 16, or {other}"),
        ({"crop": "none"}, 16, f"packed with data.crop = auto, not none; set data.crop = auto, or {other}"),
        ({"limit": 1}, 16, moved),
    ):
        with pytest.raises(DataError) as caught:
            pack_folder(source(root, **settings), target, resolution=resolution, channels=3)
        assert str(caught.value) == f"{target}/: {message}"
    status = (root / "a.bmp").stat()
    noise(77).save(root / "a.bmp")
    os.utime(root / "a.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    pack_folder(source(root), target, **SIZE)
    with pytest.raises(DataError, match=r"packed from other images than .+ now holds, a.bmp for one; choose another"):
        pack_folder(source(root), target, **SIZE, verify=True)
    other = tmp_path / "diary"
    other.mkdir()
    (other / "monday.txt").write_text("dear diary")
    with pytest.raises(DataError) as caught:
        pack_folder(source(root), other, **SIZE)
    assert str(caught.value) == f"{other}: exists and holds no packed images; choose another folder"
    assert (other / "monday.txt").read_text() == "dear diary"


def test_names_that_are_no_text_are_packed_and_compared(folder, tmp_path):
    root = folder("a.png")
    (root / os.fsdecode(b"caf\xe9.png")).write_bytes((root / "a.png").read_bytes() + b"!")
    (root / os.fsdecode(b"bad\xe9.png")).write_bytes(b"<html>")
    for _ in range(2):
        packed = pack_cached(source(root), **SIZE, verify=True)[0]
        assert packed.names == ["a.png", "caf\\udce9.png"]
        assert packed.skipped == [("bad\\udce9.png", "not an image (it begins like a web page)")]


def test_damaged_pixels_in_the_cache_are_packed_again_when_compared(folder, decoded):
    root = folder("a.png", "b.png")
    first = load(source(root), **SIZE)
    with (first.path / IMAGES).open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        file.write(b"damage")
    assert load(source(root), **SIZE).digest == first.digest and len(decoded) == 2
    again = pack_cached(source(root), **SIZE, verify=True)[0]
    assert hashlib.sha256(again.images.tobytes()).hexdigest() == first.digest and len(decoded) == 4


def test_file_that_could_not_be_read_is_tried_again(folder, monkeypatch, decoded):
    root, locked, open_file = folder("a.png", "b.png"), {"b.png"}, open

    def refuse(path, *args, **options):
        if str(path).endswith(tuple(locked)):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open_file(path, *args, **options)

    monkeypatch.setattr("builtins.open", refuse)
    assert load(source(root), **SIZE).skipped == [("b.png", "the file cannot be read (Permission denied)")]
    assert load(source(root), **SIZE).num_skipped == 1 and len(decoded) == 2
    locked.clear()
    assert load(source(root), **SIZE).names == ["a.png", "b.png"]


def test_skipped_file_that_was_fixed_in_place_is_found_by_content(folder):
    root = folder("a.png", "b.png")
    sound, status = (root / "b.png").read_bytes(), (root / "b.png").stat()
    (root / "b.png").write_bytes(bytes(len(sound)))
    os.utime(root / "b.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(source(root), **SIZE).num_skipped == 1
    (root / "b.png").write_bytes(sound)
    os.utime(root / "b.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(source(root), **SIZE).num_skipped == 1
    assert pack_cached(source(root), **SIZE, verify=True)[0].num_skipped == 0


DEEP = "[" * 100_000 + "]" * 100_000


def test_lying_file_of_a_packed_folder_is_refused_in_one_short_line(packed_folder):
    path, _ = packed_folder
    start = b"\x93NUMPY\x01\x00\x43\x00{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 3, 8)}" % 2**64
    for name, content in (
        (INDEX, DEEP.encode()),
        (INDEX, json.dumps({"layout": LAYOUT, "crop": 3}).encode()),
        (SKIPPED, DEEP.encode()),
        (SKIPPED, b"[[1, 2]]"),
        (IMAGES, b"\x93NUMPY\x01\x00\x04\x00((((" + bytes(900)),
        (IMAGES, start),
        (PICTURES, b"PAR1" + bytes(900)),
    ):
        valid = (path / name).read_bytes()
        (path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            packed = open_packed(path)
            repr((packed.skipped, packed.names))
        message = str(caught.value)
        assert message.startswith(f"{path}/: damaged packed images (") and message.endswith("); pack them again")
        assert message.isprintable() and len(message) < len(str(path)) + 160
        (path / name).write_bytes(valid)


def test_names_of_images_that_are_no_text_are_refused(packed_folder):
    path, packed = packed_folder
    content = (path / PICTURES).read_bytes()
    table = pyarrow.parquet.read_table(path / PICTURES)
    broken = [name[:-1] + b"\xff" for name in (each.encode() for each in packed.names)]
    columns = {NAME: pyarrow.array(broken).view(pyarrow.string()), DIGEST: table[DIGEST]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path / PICTURES)
    assert (path / PICTURES).read_bytes() != content
    with pytest.raises(DataError, match=r"damaged packed images \('utf-8' codec can't decode .*\); pack them again$"):
        assert open_packed(path).names


def test_index_of_words_that_are_no_text_or_endless_is_reported_in_one_line(packed_folder):
    path, _ = packed_folder
    facts = json.loads((path / INDEX).read_text())
    (path / INDEX).write_text(json.dumps(facts | {"filter": "x" * 99_999}))
    with pytest.raises(DataError) as caught:
        load(source(path), **SIZE)
    assert "packed with data.filter = xxx" in str(caught.value) and len(str(caught.value)) < 800
    (path / INDEX).write_text(json.dumps(facts | {"digest": "\\ud800"}).replace("\\\\ud800", "\\ud800"))
    assert len(load(source(path, limit=2), **SIZE)) == 2
