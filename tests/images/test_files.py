import numpy as np
import pytest
import torch
from PIL import Image

from facegan import __version__, images
from facegan.errors import ConfigError, DataError, SnapshotError
from facegan.images.animation import difference, read_about
from facegan.images.files import read_grid


def noise(side=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


# Pixels


def test_the_map_to_pixels_is_exact_and_undone_exactly():
    assert images.to_uint8(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 128, 255]
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.to_uint8(images.to_float(pixels)), pixels)
    np.testing.assert_allclose(images.to_float(pixels).numpy(), np.arange(256) / 127.5 - 1, atol=1e-7)


def test_values_outside_are_clamped_not_wrapped():
    assert images.to_uint8(torch.tensor([-7.0, -1.01, 1.01, 9.0, float("inf")])).tolist() == [0, 0, 255, 255, 255]


def test_values_go_to_the_nearest_pixel_in_float32():
    x = torch.linspace(-1, 1, 10_001, dtype=torch.float64)
    error = images.to_float(images.to_uint8(x)).double() - x
    assert error.abs().max() <= 0.5 / 127.5 + 1e-6
    half = x.to(torch.bfloat16)
    assert torch.equal(images.to_uint8(half), images.to_uint8(half.float()))


def test_the_map_is_never_stretched_to_a_batch():
    dull, vivid = torch.full((1, 3, 4, 4), 0.1), torch.randn(1, 3, 4, 4)
    together = images.to_uint8(torch.cat([dull, vivid]))
    assert torch.equal(together[:1], images.to_uint8(dull))
    assert images.to_uint8(dull).unique().tolist() == [140]  # 1.1 * 127.5 = 140.25


# Files


def test_png_is_exact_and_carries_its_text(tmp_path):
    path = tmp_path / "new" / "folder" / "faces.png"
    images.save(path, noise(), {"facegan": "seeds 0-63"})
    with Image.open(path) as image:
        assert image.text == {"Software": f"facegan {__version__}", "facegan": "seeds 0-63"}
        assert np.array_equal(np.asarray(image), noise())
    images.save(path, noise()[:, :, 0])
    with Image.open(path) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), noise()[:, :, 0])


@pytest.mark.parametrize(
    ("ending", "format"), [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".PNG", "PNG")]
)
def test_the_ending_chooses_the_format(tmp_path, ending, format):
    images.save(tmp_path / f"faces{ending}", noise())
    with Image.open(tmp_path / f"faces{ending}") as image:
        assert (image.format, image.size) == (format, (16, 16))


@pytest.mark.parametrize(("name", "wrong"), [("faces.tiff", "cannot write '.tiff'"), ("faces", "has no ending")])
def test_an_ending_without_format_is_refused(tmp_path, name, wrong):
    with pytest.raises(ConfigError) as refusal:
        images.save(tmp_path / name, noise())
    assert str(refusal.value) == f"-o {tmp_path / name}: {wrong}; end it in .png, .jpg, .jpeg, .webp"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_image(tmp_path, monkeypatch):
    path = tmp_path / "faces.png"
    images.save(path, noise())
    before = path.read_bytes()

    def fail(self, target, *_, **options):
        target.write_bytes(b"half an image")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        images.save(path, noise())
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["faces.png"]


@pytest.mark.parametrize(("name", "side", "most"), [("a.webp", 16_384, "16,383"), ("a.jpg", 65_501, "65,500")])
def test_an_image_too_large_for_its_format_is_refused_and_a_png_takes_it(tmp_path, name, side, most):
    wide = np.zeros((1, side), np.uint8)
    with pytest.raises(ConfigError, match=f"{side:,} x 1 pixels; .* takes {most} a side, .png any number"):
        images.save(tmp_path / name, wide)
    images.save(tmp_path / "a.png", wide)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_metadata_too_long_for_a_jpeg_is_refused(tmp_path):
    about = {"recipe": "z" * 66_000}
    with pytest.raises(ConfigError, match=r".jpg has no room for the metadata of so many latents; give .png or .webp"):
        images.save(tmp_path / "a.jpg", noise(), about)
    for name in ("a.png", "a.webp"):
        images.save(tmp_path / name, noise(), about)
        assert read_about(tmp_path / name) == {"Software": f"facegan {__version__}", **about}


# Grids of a run


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG no more", "the image is damaged (it begins like a PNG image, but its header cannot be read)"),
        (b"", "not an image (it begins like an empty file)"),
    ],
)
def test_a_grid_that_is_no_valid_image_is_refused(tmp_path, content, reason):
    path = tmp_path / "step-00000004.png"
    path.write_bytes(content)
    with pytest.raises(SnapshotError) as caught:
        read_grid(path)
    assert str(caught.value) == f"{path}: {reason}; remove it to go without"


def test_a_grid_that_is_missing_a_link_or_huge_is_refused(tmp_path):
    path = tmp_path / "real.png"
    with pytest.raises(SnapshotError) as caught:
        read_grid(path)
    assert str(caught.value) == f"{path}: cannot be read (No such file or directory)"
    images.save(tmp_path / "elsewhere.png", np.zeros((4, 4, 3), np.uint8))
    path.symlink_to("elsewhere.png")
    with pytest.raises(SnapshotError, match=r"real.png: cannot be read \(it is a link, which is not followed\)$"):
        read_grid(path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SnapshotError, match=r"the file is too large \(1048576 MiB; the limit is 64 MiB\); remove it"):
        read_grid(path)


# Reading frames back, and comparing them


def test_an_image_is_one_frame_in_colour(tmp_path):
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
    assert difference(tmp_path / "a.png", tmp_path / "a.png") == (0, 256, 0)
    assert difference(tmp_path / "a.png", tmp_path / "b.png") == (2, 256, 9)


def test_images_of_other_sizes_and_missing_frames_differ_everywhere(tmp_path):
    images.save(tmp_path / "a.png", noise())
    images.save(tmp_path / "b.png", noise(20))
    assert difference(tmp_path / "a.png", tmp_path / "b.png") == (400, 400, 255)
    frames = [noise(seed=seed) for seed in range(3)]
    images.save_animation(tmp_path / "a.webp", frames, fps=10)
    images.save_animation(tmp_path / "b.webp", frames[:2], fps=10)
    assert difference(tmp_path / "a.webp", tmp_path / "b.webp") == (256, 768, 255)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not an image", "not a readable image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "not a readable image"),
        (b"\0\0\0\x20ftypisom and no more", "not a readable video"),
    ],
)
def test_what_is_no_image_or_animation_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.gif"
    path.write_bytes(content)
    for read in (lambda path: list(images.read_frames(path)), read_about):
        with pytest.raises(DataError, match=rf"a\.gif: {reason} \(.+\)$"):
            read(path)
