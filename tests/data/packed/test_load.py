import concurrent.futures
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import tarfile
import warnings
import zipfile

import numpy as np
import PIL
import pytest
from PIL import Image

from facegan import downloads
from facegan.config import DataConfig
from facegan.data.packed import pack as packing
from facegan.data.packed.load import count, load
from facegan.data.packed.packed_images import IMAGES, INDEX, LAYOUT, PICTURES, SKIPPED
from facegan.errors import DataError, FaceganError
from facegan.reporter import Callbacks

SIZE = {"resolution": 16, "channels": 3}
PEOPLE = [f"person{i:03d}" for i in range(20, 40)]


def litter(cache):
    return [path.name for path in (cache / "packed").glob(".*")]


def source(path, **settings):
    return DataConfig(source=str(path), **settings)


def pack_in_another_process(root, progress):
    """Start to pack a folder in a forked process, which calls progress(done, total)."""
    fork = multiprocessing.get_context("fork")
    reporter = Callbacks(progress={"packing": progress})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking next to threads
        process = fork.Process(target=load, args=(source(root),), kwargs={**SIZE, "reporter": reporter})
        process.start()
    return process


@pytest.mark.parametrize("channels", [3, 1])
def test_packed_pixels_are_those_of_the_images_in_the_order_of_their_names(folder, channels):
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
    reporter = Callbacks(progress={"packing": lambda *call: calls.append(call)})
    first = load(source(root), **SIZE, reporter=reporter)
    assert len(decoded) == 2 and calls == [(1, 2), (2, 2)]
    second = load(source(root), **SIZE, reporter=reporter)
    assert len(decoded) == 2 and len(calls) == 2
    assert first.path == second.path and first.digest == second.digest
    np.testing.assert_array_equal(first.images, second.images)


def test_changed_file_is_decoded_again(folder, noise):
    root = folder("a.png", "b.png")
    first = load(source(root), **SIZE)
    noise(99).save(root / "a.png")
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
    monkeypatch.setitem(packing.PACKING_VERSIONS, 2, 99)
    paths.append(load(source(root), **SIZE).path)
    assert len(set(paths)) == 3


def test_bad_images_are_skipped_counted_and_named(folder, noise):
    root = folder("a.png", "b.png", "c.png", "d.png", "e.png", size=(24, 24))
    (root / "a.png").write_bytes(b"<html>")
    (root / "c.png").write_bytes((root / "c.png").read_bytes()[:300])
    noise(0, (10, 24)).save(root / "d.png")
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


def test_set_without_one_usable_image_is_refused(folder, cache):
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


def test_split_sets_share_no_image(folder):
    root = folder(*(f"{name}/{j}.png" for name in PEOPLE for j in range(2)))
    train, heldout = (load(source(root, split=split), **SIZE) for split in ("train", "heldout"))
    assert not set(train.names) & set(heldout.names) and len(train) + len(heldout) == 40
    assert not {pixels.tobytes() for pixels in train.images} & {pixels.tobytes() for pixels in heldout.images}
    assert count(source(root, split="train")) == len(train)


def test_count_decodes_and_writes_nothing(folder, decoded, cache):
    assert count(source(folder("a.png", "b.png", "c.png"))) == 3
    assert not decoded and not list(cache.iterdir())


# The cache


def test_damaged_cached_set_is_rebuilt(folder, decoded, cache):
    root = folder("a.png", "b.png")
    path = load(source(root), **SIZE).path
    digest = json.loads((path / INDEX).read_text())["digest"]
    damages = [
        lambda: os.truncate(path / IMAGES, 400),
        lambda: (path / IMAGES).write_bytes((path / IMAGES).read_bytes() + b"x"),
        lambda: (path / IMAGES).write_bytes(b"no array"),
        lambda: (path / INDEX).unlink(),
        lambda: (path / INDEX).write_text("[]"),
        lambda: (path / INDEX).write_text(json.dumps({"names": ["a.png"]})),
        lambda: (path / INDEX).write_text(json.dumps({"layout": LAYOUT})),
        lambda: (path / PICTURES).unlink(),
        lambda: (path / SKIPPED).unlink(),
    ]
    for number, damage in enumerate(damages, 2):
        damage()
        again = load(source(root), **SIZE)
        assert again.digest == digest and again.path == path and len(decoded) == 2 * number
        assert len(again) == 2 and not litter(cache)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_interrupted_packing_leaves_nothing_behind(folder, cache, interruption):
    root = folder(*(f"{i}.png" for i in range(20)))

    def interrupt(done, total):
        if done == 7:
            raise interruption

    with pytest.raises(interruption):
        load(source(root), **SIZE, reporter=Callbacks(progress={"packing": interrupt}))
    assert not list((cache / "packed").iterdir())
    assert len(load(source(root), **SIZE)) == 20


def test_killed_packing_is_begun_again_and_leaves_nothing_behind(folder, cache):
    root = folder(*(f"{i:02d}.png" for i in range(60)))
    killed = pack_in_another_process(root, lambda done, total: done == 30 and os.kill(os.getpid(), signal.SIGKILL))
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert len(litter(cache)) == 1 and not list((cache / "packed").glob("[!.]*"))
    assert len(load(source(root), **SIZE)) == 60 and not litter(cache)


def test_packings_of_the_same_set_at_once_both_end_well(folder, cache):
    root = folder(*(f"{i}.png" for i in range(30)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        packed = list(pool.map(lambda _: load(source(root), **SIZE), range(4)))
    assert len({each.digest for each in packed}) == 1 and {len(each) for each in packed} == {30}
    assert not litter(cache)


def test_one_who_waits_sees_how_far_the_other_is(folder, cache, decoded):
    root, seen = folder(*(f"{i:02d}.png" for i in range(60))), []
    half, go_on = (multiprocessing.get_context("fork").Event() for _ in range(2))

    def wait(done, total):
        if done == 30:
            half.set()
            go_on.wait()

    def progress(done, total):
        seen.append((done, total))
        go_on.set()

    other = pack_in_another_process(root, wait)
    half.wait()
    packed = load(source(root), **SIZE, reporter=Callbacks(progress={"packing": progress}))
    other.join()
    assert other.exitcode == 0 and not decoded  # it packed nothing itself
    assert len(packed) == 60 and not litter(cache)
    assert seen and all(0 <= done < 60 and total == 60 for done, total in seen)


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


def test_header_of_an_array_has_one_length_whatever_the_number_of_images():
    def length(num_images):
        file = io.BytesIO()
        shape = (num_images, 3, 64, 64)
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return file.tell()

    assert len({length(num_images) for num_images in (1, 99, 202_599, 10**9)}) == 1
