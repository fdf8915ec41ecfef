import numpy as np
import pytest
from PIL import Image

from facegan import images
from facegan.errors import DataError


def noise(side=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_picture_is_one_frame_in_colour(tmp_path):
    images.save(tmp_path / "a.png", noise())
    images.save(tmp_path / "grey.png", noise()[:, :, 0])
    (frame,) = images.read_frames(tmp_path / "a.png")
    assert np.array_equal(frame, noise())
    (grey,) = images.read_frames(tmp_path / "grey.png")
    assert np.array_equal(grey, np.repeat(noise()[:, :, :1], 3, axis=2))


def test_difference_counts_pixels_and_the_largest_step(tmp_path):
    other = noise()
    other[3, 4] = np.where(other[3, 4] < 128, other[3, 4] + 9, other[3, 4] - 9)
    other[5, 6, 1] ^= 1
    images.save(tmp_path / "a.png", noise())
    images.save(tmp_path / "b.png", other)
    assert images.difference(tmp_path / "a.png", tmp_path / "a.png") == (0, 256, 0)
    assert images.difference(tmp_path / "a.png", tmp_path / "b.png") == (2, 256, 9)


def test_pictures_of_other_sizes_differ_everywhere(tmp_path):
    images.save(tmp_path / "a.png", noise())
    images.save(tmp_path / "b.png", noise(20))
    assert images.difference(tmp_path / "a.png", tmp_path / "b.png") == (400, 400, 255)


def test_a_missing_frame_differs_everywhere(tmp_path):
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / "b.webp", save_all=True, append_images=frames[1:2], lossless=True)
    assert len(list(images.read_frames(tmp_path / "a.webp"))) == 3
    assert images.difference(tmp_path / "a.webp", tmp_path / "b.webp") == (256, 768, 255)


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.mp4"])
@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match="that can be read"):
        list(images.read_frames(path))
