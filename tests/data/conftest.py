import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


@pytest.fixture
def noise():
    """noise(3, size=(24, 24)) -> an RGB image of noise, the same for the same number."""

    def make(number=0, size=(24, 24)):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return make


@pytest.fixture
def encode():
    """encode(image, "PNG") -> the bytes of a file."""

    def make(image, format="PNG", **options):
        file = io.BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    return make


@pytest.fixture
def folder(tmp_path, noise, encode):
    """folder("a/x.png", "b/y.png") -> a new folder of different images with these names."""

    def make(*names, at="faces", **options):
        root = tmp_path / at
        for number, name in enumerate(names):
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(noise(number, **options), FORMATS[Path(name).suffix.lower()]))
        return root

    return make
