import concurrent.futures
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import PIL
import pyarrow.parquet
import pytest
from PIL import Image

from facegan import downloads
from facegan.config import DataConfig
from facegan.data.folder import FolderSource
from facegan.data.packed import pack as packing
from facegan.data.packed.load import count, load, pack_cached, pack_folder
from facegan.data.packed.packed_images import DIGEST, IMAGES, INDEX, LAYOUT, NAME, PICTURES, SKIPPED, open_packed
from facegan.errors import DataError, FaceganError

SIZE = {"resolution": 16, "channels": 3}
PACKING = """
import os, signal, sys
from facegan.config import DataConfig
from facegan.data.packed.load import load

def die(done, total):
    if done == 30:
        os.kill(os.getpid(), signal.SIGKILL)

def wait(done, total):
    if done == 30:
        print("half", flush=True)
        sys.stdin.readline()

"""
PEOPLE = [f"person{i:03d}" for i in range(20, 40)]


@pytest.fixture
def decoded(monkeypatch):
    """The number of decoded images so far, as the length of this list."""
    calls = []
    original = packing.to_square
    monkeypatch.setattr(packing, "to_square", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    return calls


def litter(cache):
    return [path.name for path in (cache / "packed").glob(".*")]


def source(path, **settings):
    return DataConfig(source=str(path), **settings)


@pytest.mark.parametrize("channels", [3, 1])
def test_packed_pixels_are_those_of_the_pictures_in_the_order_of_their_names(folder, channels):
    root = folder("b/2.png", "a/3.png", "a/1.png", size=(16, 16))
    packed = load(source(root), resolution=16, channels=channels)
    assert packed.names == ["a/1.png", "a/3.png", "b/2.png"] and len(packed) == 3
    assert packed.images.dtype == np.uint8 and packed.images.shape == (3, channels, 16, 16)
    assert (packed.index.channels, packed.index.resolution) == (channels, 16)
    for name, pixels in zip(packed.names, packed.images, strict=True):
        expected = np.asarray(Image.open(root / name).convert("RGB" if channels == 3 else "L"))
        np.testing.assert_array_equal(pixels.transpose(1, 2, 0) if channels == 3 else pixels[0], expected)


def test_digest_is_that_of_the_pixels(folder):
    packed = load(source(folder("a.png", "b.png")), **SIZE)
    assert packed.digest == hashlib.sha256(packed.images.tobytes()).hexdigest()


def test_packed_pixels_cannot_be_written_to(folder):
    packed = load(source(folder("a.png")), **SIZE)
    with pytest.raises(ValueError, match="read-only"):
        packed.images[0] = 0


def test_folder_zip_and_tar_give_equal_pixels(folder, tmp_path):
    root = folder("a/1.png", "a/2.jpg", "b/1.webp", "b/3.bmp", "c.tif")
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.*"))
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in reversed(names):
            archive.write(root / name, name)
    with tarfile.open(tmp_path / "faces.tgz", "w:gz") as archive:
        for name in names[1:] + names[:1]:
            archive.add(root / name, name)
    packed = [load(source(path), **SIZE) for path in (root, tmp_path / "faces.zip", tmp_path / "faces.tgz")]
    assert len({each.digest for each in packed}) == 1 and len({each.path for each in packed}) == 3
    assert packed[0].names == packed[1].names == packed[2].names == names


def test_second_load_decodes_nothing(folder, decoded):
    root = folder("a.png", "b.png")
    calls = []
    first = load(source(root), **SIZE, progress=lambda *call: calls.append(call))
    assert len(decoded) == 2 and calls == [(1, 2), (2, 2)]
    second = load(source(root), **SIZE, progress=lambda *call: calls.append(call))
    assert len(decoded) == 2 and len(calls) == 2
    assert first.path == second.path and first.digest == second.digest
    np.testing.assert_array_equal(first.images, second.images)


def test_changed_file_is_decoded_anew(folder, picture):
    root = folder("a.png", "b.png")
    first = load(source(root), **SIZE)
    picture(99).save(root / "a.png")
    second = load(source(root), **SIZE)
    assert first.path != second.path
    assert not np.array_equal(first.images[0], second.images[0])
    np.testing.assert_array_equal(first.images[1], second.images[1])


def test_every_setting_that_changes_pixels_changes_the_cached_set(folder):
    root = folder("a.jpg", "b.png", size=(64, 64))
    variants = [
        load(source(root), **SIZE),
        load(source(root), resolution=32, channels=3),
        load(source(root), resolution=16, channels=1),
        load(source(root, crop="center:20"), **SIZE),
        load(source(root, crop="box:0,0,20,20"), **SIZE),
        load(source(root, filter="lanczos"), **SIZE),
        load(source(root, filter="box", draft=True), **SIZE),
        load(source(root, limit=1), **SIZE),
    ]
    assert len({each.path for each in variants}) == len({each.digest for each in variants}) == len(variants)
    assert load(source(root, mirror=True), **SIZE).path == variants[0].path  # mirroring happens later


def test_another_pillow_or_packing_has_a_cached_set_of_its_own(folder, monkeypatch):
    root = folder("a.png")
    major = PIL.__version__.split(".")[0]
    paths = [load(source(root), **SIZE).path]
    monkeypatch.setattr(PIL, "__version__", f"{major}.99")
    assert load(source(root), **SIZE).path == paths[0]
    monkeypatch.setattr(PIL, "__version__", "99.0")
    paths.append(load(source(root), **SIZE).path)
    monkeypatch.setattr(packing, "PACKING_VERSION", 99)
    paths.append(load(source(root), **SIZE).path)
    assert len(set(paths)) == 3


def test_bad_pictures_are_skipped_counted_and_named(folder, picture):
    root = folder("a.png", "b.png", "c.png", "d.png", "e.png", size=(24, 24))
    (root / "a.png").write_bytes(b"<html>")
    (root / "c.png").write_bytes((root / "c.png").read_bytes()[:300])
    picture(0, (10, 24)).save(root / "d.png")
    packed = load(source(root, crop="center:20"), **SIZE)
    assert packed.names == ["b.png", "e.png"] and packed.images.shape == (2, 3, 16, 16)
    assert packed.skipped == [
        ("a.png", "not an image (it begins like a web page)"),
        ("c.png", "the image is cut short"),
        ("d.png", "the image (10x24) is smaller than the crop center:20"),
    ]
    alone = load(source(folder("x.png", "b.png", "y.png", "z.png", "e.png", at="good"), crop="center:20"), **SIZE)
    np.testing.assert_array_equal(packed.images, alone.images[:2])
    again = load(source(root, crop="center:20"), **SIZE)
    assert again.skipped == packed.skipped and again.path == packed.path


def test_set_without_one_usable_picture_is_refused(folder, cache):
    root = folder("a.png", "b.png")
    for name in ("a.png", "b.png"):
        (root / name).write_bytes(b"<html>")
    with pytest.raises(DataError) as caught:
        load(source(root), **SIZE)
    assert str(caught.value) == (
        f"{root}: none of the 2 images can be used; a.png: not an image (it begins like a web page)"
    )
    assert not list((cache / "packed").iterdir())


def test_datasets_own_crop_is_used_unless_another_is_given(folder):
    downloads.register("celeba", folder("a.png", size=(178, 218)))
    automatic = load(source("celeba"), **SIZE)
    assert automatic.index.crop == "center:178"
    assert load(source("celeba", crop="center:178"), **SIZE).digest == automatic.digest
    assert load(source("celeba", crop="center:108"), **SIZE).digest != automatic.digest


def test_drawn_faces_are_packed_with_their_attributes():
    packed = load(source("drawn", options={"num_images": 5}), **SIZE)
    assert packed.images.shape == (5, 3, 16, 16) and packed.attributes
    assert all(len(column) == 5 for column in packed.attributes.values())
    assert load(source("drawn", options={"num_images": 5}), **SIZE).attributes == packed.attributes


def test_split_sets_share_no_picture(folder):
    root = folder(*(f"{name}/{j}.png" for name in PEOPLE for j in range(2)))
    train, heldout = (load(source(root, split=split), **SIZE) for split in ("train", "heldout"))
    assert not set(train.names) & set(heldout.names) and len(train) + len(heldout) == 40
    assert not {pixels.tobytes() for pixels in train.images} & {pixels.tobytes() for pixels in heldout.images}
    assert count(source(root, split="train")) == len(train)


def test_count_decodes_and_writes_nothing(folder, decoded, cache):
    assert count(source(folder("a.png", "b.png", "c.png"))) == 3
    assert not decoded and not list(cache.iterdir())


# The cache


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: os.truncate(path / IMAGES, 400),
        lambda path: (path / IMAGES).write_bytes((path / IMAGES).read_bytes() + b"x"),
        lambda path: (path / IMAGES).write_bytes(b"no array"),
        lambda path: (path / IMAGES).unlink(),
        lambda path: (path / INDEX).unlink(),
        lambda path: (path / INDEX).write_text("{"),
        lambda path: (path / INDEX).write_text("[]"),
        lambda path: (path / INDEX).write_text(json.dumps({"names": ["a.png"]})),
        lambda path: (path / INDEX).write_text(json.dumps({"layout": LAYOUT})),
        lambda path: (path / PICTURES).unlink(),
        lambda path: (path / SKIPPED).unlink(),
    ],
)
def test_damaged_cached_set_is_rebuilt(folder, damage, decoded, cache):
    root = folder("a.png", "b.png")
    first = load(source(root), **SIZE)
    digest, path = first.digest, first.path
    del first
    damage(path)
    again = load(source(root), **SIZE)
    assert again.digest == digest and again.path == path and len(decoded) == 4
    assert len(again) == 2 and not litter(cache)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_interrupted_packing_leaves_nothing_behind(folder, cache, interruption):
    root = folder(*(f"{i}.png" for i in range(20)))

    def interrupt(done, total):
        if done == 7:
            raise interruption

    with pytest.raises(interruption):
        load(source(root), **SIZE, progress=interrupt)
    assert not list((cache / "packed").iterdir())
    assert len(load(source(root), **SIZE)) == 20


def test_killed_packing_is_begun_anew_and_leaves_nothing_behind(folder, cache):
    root = folder(*(f"{i:02d}.png" for i in range(60)))
    code = PACKING + "load(DataConfig(source=sys.argv[1]), resolution=16, channels=3, progress=die)"
    killed = subprocess.run([sys.executable, "-c", code, str(root)], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(litter(cache)) == 1 and not list((cache / "packed").glob("[!.]*"))
    assert len(load(source(root), **SIZE)) == 60 and not litter(cache)


def test_packings_of_the_same_set_at_once_both_end_well(folder, cache):
    root = folder(*(f"{i}.png" for i in range(30)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        packed = list(pool.map(lambda _: load(source(root), **SIZE), range(4)))
    assert len({each.digest for each in packed}) == 1 and {len(each) for each in packed} == {30}
    assert not litter(cache)


def test_processes_that_pack_the_same_set_at_once_both_end_well(folder, cache):
    root = folder(*(f"{i}.png" for i in range(30)))
    code = (
        "import sys; from facegan.config import DataConfig; from facegan.data.packed.load import load;"
        "print(load(DataConfig(source=sys.argv[1]), resolution=16, channels=3).digest)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    digests = {process.communicate(timeout=60)[0].strip() for process in running}
    assert digests == {load(source(root), **SIZE).digest} and not litter(cache)


def test_one_who_waits_sees_how_far_the_other_is(folder, cache):
    root, seen = folder(*(f"{i:02d}.png" for i in range(60))), []
    code = PACKING + "load(DataConfig(source=sys.argv[1]), resolution=16, channels=3, progress=wait)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "half\n"

        def progress(done, total):
            if not seen:
                other.stdin.write("go on\n")
                other.stdin.flush()
            seen.append((done, total))

        packed = load(source(root), **SIZE, progress=progress)
        assert other.wait(timeout=60) == 0
    assert len(packed) == 60 and not litter(cache)
    assert all(0 <= done < 60 and total == 60 for done, total in seen) and seen  # it packed nothing itself


def test_disk_without_room_is_refused_before_anything_is_written(folder, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(FaceganError) as caught:
        load(source(folder("a.png")), resolution=256, channels=3)
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        f"{cache / 'packed'}: no room for the packed images (1.2 MB needed, 1.0 MB free); "
        "free some, or set FACEGAN_CACHE to a folder on another disk"
    )
    assert not list((cache / "packed").iterdir())


def test_cache_that_cannot_be_written_is_refused(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(FaceganError) as caught:
        load(source(folder("a.png")), **SIZE)
    assert str(caught.value) == (
        f"{tmp_path / 'file' / 'packed'}: the packed images cannot be written (Not a directory); "
        "set FACEGAN_CACHE to a folder with room that you may write to"
    )


def test_header_of_the_array_has_one_length_whatever_the_number_of_pictures():
    recipe = packing.PackSpec(crop="auto", filter="bicubic", resolution=64, channels=3, fingerprint="")
    assert len({len(packing._npy_header(number, recipe)) for number in (1, 99, 202_599, 10**9)}) == 1


# A packed folder as the source


@pytest.fixture
def packed_folder(folder, tmp_path):
    root = folder(*(f"{name}/{j}.png" for name in PEOPLE for j in range(2)))
    packed = load(source(root, crop="center:20"), **SIZE)
    return shutil.copytree(packed.path, tmp_path / "kept"), packed


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


def test_index_that_disagrees_with_the_pictures_is_refused_when_it_is_read(packed_folder):
    path, packed = packed_folder
    table = pyarrow.parquet.read_table(path / PICTURES)
    pyarrow.parquet.write_table(table.slice(1), path / PICTURES)
    assert len(load(source(path), **SIZE)) == len(packed)  # training needs no names
    with pytest.raises(DataError, match=r"damaged packed images \(pictures.parquet and index.json disagree\)"):
        load(source(path, split="train"), **SIZE)
    (path / PICTURES).write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"damaged packed images \(.+\); pack them again$"):
        load(source(path, split="train"), **SIZE)


# What the index keeps


def test_index_keeps_a_digest_of_each_file(folder):
    root = folder("a.png", "b.jpg")
    packed = load(source(root), **SIZE)
    assert packed.digests == [hashlib.sha256((root / name).read_bytes()).digest() for name in ("a.png", "b.jpg")]


def test_index_says_how_the_pictures_were_made(folder):
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


def test_opening_reads_neither_names_nor_pictures(store):
    """In a process of its own: what 200,000 images of 64x64 add to its memory, and that nothing heavy is loaded."""
    folder = store(num=1)
    num = 200_000
    index = json.loads((folder / INDEX).read_text()) | {"num_images": num, "resolution": 64}
    (folder / INDEX).write_text(json.dumps(index))
    with (folder / IMAGES).open("wb") as file:  # sparse: only its header takes room on the disk
        file.write(packing._npy_header(num, packing.PackSpec("none", "bicubic", 64, 3, "")))
        file.truncate(file.tell() + num * 64 * 64 * 3)
    columns = {"_name": [f"{n:06d}.jpg" for n in range(num)], "_sha256": [b"%032d" % n for n in range(num)]}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / PICTURES)
    code = (
        "import resource, sys; from facegan.config import DataConfig; from facegan.data.packed.load import load\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "packed = load(DataConfig(source=sys.argv[1]), resolution=64, channels=3)\n"
        "added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(len(packed), packed.images.shape[2], added // 1024, 'pyarrow' in sys.modules, len(packed.names))"
    )
    said = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    count, resolution, added_mib, heavy, num_names = said.stdout.split()
    assert (count, resolution, heavy, num_names) == ("200000", "64", "False", "200000")
    assert int(added_mib) < 50


def test_index_says_which_pictures_were_chosen(folder):
    root = folder(*(f"{name}/1.png" for name in PEOPLE))
    assert load(source(root, split="train", limit=2), **SIZE).index.selection == "split=train limit=2"


# Comparing by content


def test_change_that_keeps_size_and_time_is_found_by_content_only(folder, picture, decoded):
    root = folder("a.bmp", "b.bmp")
    before = load(source(root), **SIZE)
    status = (root / "a.bmp").stat()
    picture(77).save(root / "a.bmp")
    os.utime(root / "a.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(source(root), **SIZE).digest == before.digest and len(decoded) == 2
    verified = pack_cached(source(root), **SIZE, verify=True)[0]
    assert verified.digest != before.digest and verified.path == before.path and len(decoded) == 4
    assert pack_cached(source(root), **SIZE, verify=True)[0].digest == verified.digest and len(decoded) == 4


def test_comparing_shows_its_progress(folder):
    root, calls = folder("a.png", "b.png"), []
    load(source(root), **SIZE)
    pack_cached(source(root), **SIZE, verify=True, progress=lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)]


# A packed folder of one's own


def test_pack_folder_writes_what_load_gives(folder, tmp_path):
    root = folder("a.png", "b.jpg")
    packed, written = pack_folder(source(root, crop="center:20"), tmp_path / "mine", **SIZE)
    cached = load(source(root, crop="center:20"), **SIZE)
    assert written and packed.path == tmp_path / "mine" and packed.digest == cached.digest
    assert load(source(tmp_path / "mine"), **SIZE).digest == cached.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "mine"]


def test_pack_folder_of_the_same_pictures_is_left_as_it_is(folder, tmp_path, decoded):
    root = folder("a.png", "b.png")
    first, _ = pack_folder(source(root), tmp_path / "mine", **SIZE)
    for verify in (False, True):
        again, written = pack_folder(source(root), tmp_path / "mine", **SIZE, verify=verify)
        assert not written and again.digest == first.digest
    assert len(decoded) == 2


def test_pack_folder_refuses_to_replace_anything(folder, tmp_path, picture):
    root = folder("a.bmp", "b.bmp")
    target = tmp_path / "mine"
    pack_folder(source(root), target, **SIZE)
    for settings, size, message in (
        ({}, {"resolution": 32, "channels": 3}, "packed with resolution = 16, not 32; choose another folder"),
        ({"crop": "none"}, SIZE, "packed with crop = auto, not none; choose another folder"),
        ({"limit": 1}, SIZE, f"packed from other images than {root} now holds; "
                             "choose another folder, or remove this one"),
    ):  # fmt: skip
        with pytest.raises(DataError) as caught:
            pack_folder(source(root, **settings), target, **size)
        assert str(caught.value) == f"{target}/: {message}"
    status = (root / "a.bmp").stat()
    picture(77).save(root / "a.bmp")
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


def test_damaged_pixels_in_the_cache_are_packed_anew_when_compared(folder, decoded):
    root = folder("a.png", "b.png")
    first = load(source(root), **SIZE)
    with (first.path / IMAGES).open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        file.write(b"damage")
    assert load(source(root), **SIZE).digest == first.digest and len(decoded) == 2
    again = pack_cached(source(root), **SIZE, verify=True)[0]
    assert hashlib.sha256(again.images.tobytes()).hexdigest() == first.digest and len(decoded) == 4


def test_file_that_could_not_be_read_is_tried_again(folder, monkeypatch, decoded):
    root, locked, open_file = folder("a.png", "b.png"), {"b.png"}, os.open

    def refuse(path, *args, **options):
        if str(path).endswith(tuple(locked)):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open_file(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert load(source(root), **SIZE).skipped == [("b.png", "the file cannot be read (Permission denied)")]
    assert load(source(root), **SIZE).num_skipped == 1 and len(decoded) == 2
    locked.clear()
    assert load(source(root), **SIZE).names == ["a.png", "b.png"]


def test_skipped_file_that_was_mended_in_place_is_found_by_content(folder):
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (INDEX, DEEP.encode()),
        (SKIPPED, DEEP.encode()),
        (SKIPPED, b"[[1, 2]]"),
        (IMAGES, b"\x93NUMPY\x01\x00\x04\x00((((" + bytes(900)),
        (
            IMAGES,
            b"\x93NUMPY\x01\x00\x42\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2**64, 3, 8, 8)}"
            + bytes(900),
        ),
        (IMAGES, b"\x93NUMPY\x01\x00\x43\x00{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 3, 8)}" % 2**64),
        (PICTURES, b"PAR1" + bytes(900)),
    ],
)
def test_lying_file_of_a_packed_folder_is_refused_in_one_short_line(packed_folder, name, content):
    path, _ = packed_folder
    (path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        packed = open_packed(path)
        repr((packed.skipped, packed.names))
    message = str(caught.value)
    assert message.startswith(f"{path}/: damaged packed images (") and message.endswith("); pack them again")
    assert message.isprintable() and len(message) < len(str(path)) + 160


def test_names_of_pictures_that_are_no_text_are_refused(packed_folder):
    path, packed = packed_folder
    content = (path / PICTURES).read_bytes()
    table = pyarrow.parquet.read_table(path / PICTURES)
    broken = [name[:-1] + b"\xff" for name in (each.encode() for each in packed.names)]
    columns = {NAME: pyarrow.array(broken).view(pyarrow.string()), DIGEST: table[DIGEST]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path / PICTURES)
    assert (path / PICTURES).read_bytes() != content
    with pytest.raises(DataError, match=r"damaged packed images \('utf-8' codec can't decode .*\); pack them again$"):
        assert open_packed(path).names


def test_index_of_words_that_are_no_text_or_endless_is_told_in_one_line(packed_folder):
    path, _ = packed_folder
    facts = json.loads((path / INDEX).read_text())
    (path / INDEX).write_text(json.dumps(facts | {"filter": "x" * 99_999}))
    with pytest.raises(DataError) as caught:
        load(source(path), **SIZE)
    assert "packed with data.filter = xxx" in str(caught.value) and len(str(caught.value)) < 800
    (path / INDEX).write_text(json.dumps(facts | {"digest": "\\ud800"}).replace("\\\\ud800", "\\ud800"))
    assert len(load(source(path, limit=2), **SIZE)) == 2
