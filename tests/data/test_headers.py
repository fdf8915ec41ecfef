import numpy as np
import pytest
from PIL import Image

from facegan.config import DataConfig
from facegan.data.headers import Survey, survey
from facegan.data.open import open_source
from facegan.reporter import Callbacks


def look(source):
    opened = open_source(DataConfig(source=str(source)))
    return survey(opened, opened.names)


@pytest.fixture
def folder(tmp_path):
    """folder({"a.png": ("RGB", (8, 6))}) -> a folder with such images."""

    def make(named, **options):
        place = tmp_path / "images"
        place.mkdir()
        for name, (mode, (width, height)) in named.items():
            pixels = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
            Image.fromarray(pixels).convert(mode).save(place / name, **options)
        return place

    return make


def test_sizes_greys_and_lossy_files_are_counted(folder):
    place = folder(
        {"a.png": ("RGB", (8, 6)), "b.jpg": ("L", (8, 6)), "c.png": ("L", (5, 5)), "d.webp": ("RGB", (5, 5))}
    )
    (place / "e.png").write_bytes(b"no image")
    found = look(place)
    assert found == Survey(4, {(8, 6): 2, (5, 5): 2}, num_grey=2, num_lossy=2)
    assert not found.is_grey


def test_lossless_webp_is_not_lossy(folder):
    assert look(folder({"a.webp": ("RGB", (8, 8))}, lossless=True)).num_lossy == 0


def test_image_that_lies_on_its_side_has_the_size_that_is_seen(folder, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert look(folder({"a.jpg": ("RGB", (8, 6))}, exif=exif)).sizes == {(6, 8): 1}


def test_all_grey_is_grey(folder):
    assert look(folder({"a.png": ("L", (4, 4)), "b.png": ("1", (4, 4))})).is_grey


def test_packed_images_are_known_without_reading(store):
    assert look(store(num=5, channels=1)) == Survey(5, {(16, 16): 5}, num_grey=5)


def test_drawn_images_have_no_size_of_their_own():
    opened = open_source(DataConfig(source="drawn", options={"num_images": 3}))
    assert survey(opened, opened.names) == Survey(3)


def test_progress_is_reported(folder):
    opened = open_source(DataConfig(source=str(folder({"a.png": ("L", (4, 4)), "b.png": ("L", (4, 4))}))))
    counts = []
    reporter = Callbacks(progress={"reading sizes": lambda *call: counts.append(call)})
    survey(opened, opened.names, reporter=reporter)
    assert counts == [(1, 2), (2, 2)]
