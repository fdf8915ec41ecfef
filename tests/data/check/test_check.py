import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from facegan.config import resolve
from facegan.data.check.check import NEAR, Report, check
from facegan.data.check.duplicates import perceptual_hash
from facegan.data.open import open_source
from facegan.reporter import Callbacks


@pytest.fixture
def face():
    """face(3) -> a coloured image of soft shapes, as unlike others as photographs are; the same for one number."""

    def make(number=0, size=(80, 80)):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)

    return make


@pytest.fixture
def put(tmp_path, face, encode):
    """put({"a.jpg": image or bytes}) -> a new folder with these files, and three valid images next to them."""

    def make(files, sound=3):
        root = tmp_path / "faces"
        root.mkdir()
        sounds = {f"sound-{number}.png": face(100 + number) for number in range(sound)}
        for name, content in (sounds | files).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            form = "PNG" if path.suffix == ".png" else "JPEG"
            path.write_bytes(content if isinstance(content, bytes) else encode(content, form))
        return root

    return make


def examine(source, *settings, resolution=64, **options):
    data = resolve(flags={"data": {"source": str(source)}}, settings=settings).data
    return check(open_source(data), data, resolution=resolution, **options)


def test_sound_images_give_counts_and_no_findings(put):
    root = put({})
    report = examine(root)
    assert report.clean and set(report.findings.values()) == {0}
    assert report.source == str(root) and (report.crop, report.resolution, report.near) == ("auto", 64, NEAR)
    assert report.num_pictures == 3
    assert report.size_bytes == sum(path.stat().st_size for path in root.iterdir())
    assert report.sizes == {"80x80": 3}
    assert report.modes == {"RGB": 3} and report.formats == {"PNG": 3}
    assert report.greyscale == report.rotated == report.quarantined == ()


def test_histograms_count_what_the_files_are_the_most_frequent_first(put, face):
    report = examine(put({
        "wide.jpg": face(1, (160, 70)), "tall.jpg": face(2, (70, 160)), "grey.png": face(3).convert("L"),
        "high.png": face(6, (80, 100)), "broad.png": face(7, (100, 80)), "double.png": face(8, (140, 70)),
        "alpha.png": face(4).convert("RGBA"), "palette.png": face(5).quantize(16),
    }))  # fmt: skip
    singles = ["100x80", "140x70", "160x70", "70x160", "80x100"]
    assert list(report.sizes.items()) == [("80x80", 6), *((size, 1) for size in singles)]
    assert list(report.shapes.items()) == [
        ("below 0.5", 1), ("0.8 to 0.95", 1), ("0.95 to 1.05 (square)", 6), ("1.25 to 1.5", 1), ("2 and above", 2),
    ]  # fmt: skip
    assert report.modes == {"RGB": 8, "L": 1, "P": 1, "RGBA": 1}
    assert report.formats == {"PNG": 9, "JPEG": 2}


def test_unreadable_files_are_named_with_their_reasons(put, face, encode):
    report = examine(put({
        "page.jpg": b"<html>Quota exceeded</html>",
        "cut.jpg": encode(face(1), "JPEG")[:-300],
        "empty.png": b"",
    }))  # fmt: skip
    assert [(each.name, each.reason) for each in report.unreadable] == [
        ("cut.jpg", "the image is cut short"),
        ("empty.png", "not an image (it begins like an empty file)"),
        ("page.jpg", "not an image (it begins like a web page)"),
    ]
    assert report.num_pictures == 6 and sum(report.sizes.values()) == 3
    assert report.findings["unreadable"] == 3 and not report.clean


def test_image_that_the_crop_refuses_is_named_and_others_are_not(put, face):
    root = put({"small.png": face(1, (70, 90))})
    report = examine(root, "data.crop=center:80", resolution=16)
    assert [(each.name, each.reason) for each in report.refused] == [
        ("small.png", "the image (70x90) is smaller than the crop center:80")
    ]
    assert report.crop == "center:80" and report.findings["refused"] == 1
    assert examine(root, "data.crop=center:70").refused == ()


def test_image_is_tiny_when_its_crop_is_enlarged(put, face):
    root = put({"small.png": face(1, (63, 90)), "enough.png": face(2, (64, 90))})
    assert [(each.name, each.reason) for each in examine(root).tiny] == [
        ("small.png", "63x63 of the image's 63x90 are enlarged to 64x64")
    ]
    assert examine(root, resolution=32).tiny == ()
    assert len(examine(root, "data.crop=center:60").tiny) == 5


def test_equal_files_are_groups_and_the_first_name_is_kept(put, face):
    root = put({"b/copy.png": face(100), "a.png": face(100), "c.png": face(7)})
    report = examine(root)
    assert report.duplicates == (("a.png", "b/copy.png", "sound-0.png"),)
    assert report.same_pixels == report.near_duplicates == ()
    assert report.findings["duplicates"] == 2


def test_other_files_with_equal_pixels_are_distinguished_from_equal_files(put, face, encode):
    report = examine(put({
        "a.png": face(1), "a-copy.png": face(1), "b.png": encode(face(1), "PNG", compress_level=0),
    }))  # fmt: skip
    assert report.duplicates == (("a-copy.png", "a.png"),)
    assert report.same_pixels == (("a-copy.png", "b.png"),)
    assert report.near_duplicates == ()


def test_equal_bytes_of_another_shape_are_not_equal_pixels(put):
    colours = np.random.default_rng(0).integers(0, 256, 64 * 64 * 3, dtype=np.uint8)
    flat, tall = (Image.fromarray(colours.reshape(shape)) for shape in ((32, 128, 3), (128, 32, 3)))
    assert examine(put({"a.png": flat, "b.png": tall})).same_pixels == ()


def test_near_duplicates_are_found_and_other_images_are_not(put, face, encode):
    report = examine(put({
        "one.png": face(1), "one.jpg": encode(face(1), "JPEG", quality=30),
        "two.png": face(2), "two-shrunk.png": face(2).resize((40, 40)), "two-grey.png": face(2).convert("L"),
        "three.png": face(3),
    }), resolution=16)  # fmt: skip
    assert report.near_duplicates == (("one.jpg", "one.png"), ("two-grey.png", "two-shrunk.png", "two.png"))
    assert report.findings["near_duplicates"] == 3 and not report.clean


def test_near_is_the_number_of_bits_in_which_perceptual_hashes_may_differ(put, face):
    one = face(1)
    other = Image.blend(one, face(2), 0.25)
    distance = (perceptual_hash(one) ^ perceptual_hash(other)).bit_count()
    assert NEAR < distance <= 15
    root = put({"one.png": one, "other.png": other})
    assert examine(root, near=distance).near_duplicates == (("one.png", "other.png"),)
    assert examine(root, near=distance - 1).near_duplicates == ()
    off = examine(root, near=-1)
    assert examine(root).near_duplicates == off.near_duplicates == () and off.near is None


def test_greyscale_is_seen_in_any_mode_and_is_no_finding(put, face, encode):
    grey = face(1).convert("L")
    brown = Image.merge("RGB", [face(9).convert("L").point(lambda v, k=k: v * k // 10) for k in (10, 9, 6)])
    report = examine(put({
        "l.png": grey, "rgb.png": face(2).convert("L").convert("RGB"),
        "jpeg.jpg": encode(face(3).convert("L").convert("RGB"), "JPEG", quality=60),
        "sepia.png": brown,
    }))  # fmt: skip
    assert report.greyscale == ("jpeg.jpg", "l.png", "rgb.png")
    assert report.clean


def test_rotated_images_are_noted_and_measured_upright(put, face, encode):
    turned, upright, odd = Image.Exif(), Image.Exif(), Image.Exif()
    turned[0x0112], upright[0x0112], odd[0x0112] = 6, 1, 77
    report = examine(put({
        "turned.jpg": encode(face(1, (100, 70)), "JPEG", exif=turned),
        "upright.jpg": encode(face(2, (100, 70)), "JPEG", exif=upright),
        "odd.jpg": encode(face(3, (100, 70)), "JPEG", exif=odd),
    }))  # fmt: skip
    assert report.rotated == ("turned.jpg",)
    assert report.sizes == {"80x80": 3, "100x70": 2, "70x100": 1}
    assert report.clean


def test_only_the_selected_images_are_looked_at(put):
    report = examine(put({"z.png": b""}), "data.limit=2")
    assert report.num_pictures == 2 and report.clean


def test_archive_and_folder_give_the_same_findings(put, face, tmp_path):
    root = put({"a/bad.jpg": b"no", "copy.png": face(100), "grey.png": face(5).convert("L")})
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for path in sorted(root.rglob("*.*")):
            archive.write(path, path.relative_to(root))
    zipped = examine(tmp_path / "faces.zip")
    assert zipped.model_copy(update={"source": str(root)}) == examine(root)
    assert zipped.findings["unreadable"] == zipped.findings["duplicates"] == 1


def test_drawn_faces_have_no_files_and_are_compared_only_when_asked():
    report = examine("drawn", "data.options.num_images=12")
    assert report.clean and report.near is None
    assert report.formats == {"no file": 12} and report.sizes == {"64x64": 12} and report.size_bytes == 0
    assert examine("drawn", "data.options.num_images=12", near=15).near_duplicates


def test_packed_images_are_not_cropped_again(store):
    report = examine(store(5), resolution=16)
    assert report.clean and report.num_pictures == 5 and report.sizes == {"16x16": 5}


def test_progress_counts_to_the_end(put):
    seen = []
    reporter = Callbacks(progress={"checking": lambda *counts: seen.append(counts)})
    examine(put({"bad.png": b""}), reporter=reporter)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_report_survives_its_own_json(put, face):
    report = examine(put({"bad.jpg": b"", "copy.png": face(100), "tiny.png": face(2, (20, 20))}))
    again = Report.model_validate_json(report.model_dump_json())
    assert again == report and again.findings == report.findings


@pytest.mark.skipif(os.name != "posix", reason="other systems hold names as text")
def test_name_that_is_no_text_is_reported_as_one_that_is(put, face, encode):
    root = put({})
    try:
        (root / os.fsdecode(b"bad-\xff.png")).write_bytes(b"")
    except OSError:
        pytest.skip("the file system takes no such name")
    assert [each.name for each in examine(root).unreadable] == ["bad-\\udcff.png"]


def test_what_a_source_does_not_deliver_is_unreadable(put, monkeypatch):
    root = put({})
    data = resolve(flags={"data": {"source": str(root)}}).data
    opened = open_source(data)
    read = opened.read
    monkeypatch.setattr(opened, "read", lambda names, resolution: read(names[1:], resolution))
    report = check(opened, data, resolution=16)
    assert [(each.name, each.reason) for each in report.unreadable] == [
        ("sound-0.png", "the source did not deliver it")
    ]
