import numpy as np
import pytest
import torch
from PIL import Image

from facegan import images
from facegan.errors import ConfigError, SnapshotError


def test_the_map_to_pixels_is_exact_at_the_ends_and_the_middle():
    assert images.to_uint8(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 128, 255]
    assert images.to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_every_pixel_value_survives_the_round_trip():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.to_uint8(images.to_float(pixels)), pixels)
    expected = np.arange(256) / 127.5 - 1
    np.testing.assert_allclose(images.to_float(pixels).numpy(), expected, atol=1e-7)


def test_what_lies_outside_is_clamped_not_wrapped():
    assert images.to_uint8(torch.tensor([-7.0, -1.01, 1.01, 9.0, float("inf")])).tolist() == [0, 0, 255, 255, 255]


def test_values_go_to_the_nearest_pixel():
    x = torch.linspace(-1, 1, 10_001, dtype=torch.float64)
    error = images.to_float(images.to_uint8(x)).double() - x
    assert error.abs().max() <= 0.5 / 127.5 + 1e-6


def test_the_map_is_never_stretched_to_a_batch():
    dull, vivid = torch.full((1, 3, 4, 4), 0.1), torch.randn(1, 3, 4, 4)
    together = images.to_uint8(torch.cat([dull, vivid]))
    assert torch.equal(together[:1], images.to_uint8(dull))
    assert images.to_uint8(dull).unique().tolist() == [140]  # 1.1 * 127.5 = 140.25


def test_half_precision_images_are_mapped_in_float32():
    x = torch.linspace(-1, 1, 50).to(torch.bfloat16)
    assert torch.equal(images.to_uint8(x), images.to_uint8(x.float()))


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_places_pictures_row_by_row_on_white(channels):
    pixels = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, channels, 4, 6)
    sheet = images.grid(pixels, columns=3)
    assert sheet.shape == ((2 * 4 + 2, 3 * 6 + 4, 3) if channels == 3 else (10, 22))
    for index, (top, left) in enumerate([(0, 0), (0, 8), (0, 16), (6, 0), (6, 8)]):
        assert (sheet[top : top + 4, left : left + 6] == index).all()
        sheet[top : top + 4, left : left + 6] = 255
    assert (sheet == 255).all()


def test_grid_keeps_colours_and_orientation():
    picture = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    picture[0, 0, 0, 1] = 200  # red, at the top right
    assert images.grid(picture)[0, 1].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    ("num", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (6, 3), (9, 3), (12, 4), (64, 8), (100, 10)]
)
def test_grids_are_near_square(num, columns):
    assert images.near_square(num) == columns


def test_no_grid_is_more_than_three_times_as_wide_as_high():
    for num in range(1, 500):
        columns = images.near_square(num)
        rows = -(-num // columns)
        assert rows <= columns <= 3 * rows


def test_an_empty_grid_is_refused():
    with pytest.raises(ValueError, match=r"^a grid needs at least one image$"):
        images.grid(torch.zeros(0, 3, 4, 4, dtype=torch.uint8))


def noise(side=16):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_png_is_exact_and_carries_its_text(tmp_path):
    path = tmp_path / "new" / "folder" / "faces.png"
    images.save(path, noise(), {"facegan": "seeds 0-63"})
    with Image.open(path) as picture:
        assert picture.text == {"facegan": "seeds 0-63"}
        assert np.array_equal(np.asarray(picture), noise())


def test_grey_png_stays_grey(tmp_path):
    images.save(tmp_path / "grey.png", noise()[:, :, 0])
    with Image.open(tmp_path / "grey.png") as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), noise()[:, :, 0])


@pytest.mark.parametrize(
    ("ending", "format"), [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".PNG", "PNG")]
)
def test_the_ending_chooses_the_format(tmp_path, ending, format):
    images.save(tmp_path / f"faces{ending}", noise())
    with Image.open(tmp_path / f"faces{ending}") as picture:
        assert (picture.format, picture.size) == (format, (16, 16))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("faces.tiff", "cannot write '.tiff'"), ("faces", "has no ending"), ("faces.gif", "cannot write '.gif'")],
)
def test_an_ending_without_format_is_refused(tmp_path, name, wrong):
    with pytest.raises(ConfigError) as refusal:
        images.save(tmp_path / name, noise())
    assert str(refusal.value) == f"-o {tmp_path / name}: {wrong}; end it in .png, .jpg, .jpeg, .webp"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "faces.png"
    images.save(path, noise())
    before = path.read_bytes()

    def fail(self, target, *_, **options):
        target.write_bytes(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        images.save(path, noise())
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["faces.png"]


@pytest.mark.parametrize(("height", "factor"), [(400, 1), (399, 2), (200, 2), (150, 3)])
def test_two_grids_side_by_side_keep_their_pixels_and_small_ones_are_enlarged(height, factor):
    left, right = noise(20), noise(height)[:, :30, 0]
    sheet = images.side_by_side((left, right), ("real", "fake"))
    assert sheet.shape == (factor * height + 28 + 16, factor * 60 + 48, 3)
    shown = sheet[28:, 16:][::factor, ::factor]
    assert np.array_equal(shown[:20, :20], left)
    shown = sheet[28 : 28 + factor * height, 32 + factor * 30 :][::factor, ::factor]
    assert np.array_equal(shown[:, :30, 1], right)
    assert (sheet[:28] < 255).any()  # the captions


def test_several_grids_stand_in_rows_under_captions_that_fit_their_places():
    sides = [noise(400) for _ in range(4)]
    sheet = images.side_by_side(
        sides, ["a", "b", "c", "a caption that is wider than its place is, by far, as long names are"]
    )
    band = 28 + 17
    assert sheet.shape == (2 * (400 + band) + 16, 2 * (400 + 16) + 16, 3)
    for place, side in enumerate(sides):
        top, left = band + place // 2 * (400 + band), 16 + place % 2 * 416
        assert np.array_equal(sheet[top : top + 400, left : left + 400], side)
    assert (sheet[:, -16:] == 255).all()  # no caption runs over the edge


@pytest.mark.parametrize(("height", "factor"), [(400, 1), (40, 10)])
def test_a_caption_stands_under_the_picture_and_a_small_one_is_enlarged(tmp_path, height, factor):
    images.save(tmp_path / "faces.png", noise(height))
    (sheet,) = images.add_captions([tmp_path / "faces.png"], ["step 1,000"])
    assert np.array_equal(sheet[: height * factor : factor, ::factor], noise(height))
    assert (sheet[height * factor :] < 128).any()


def test_grids_of_two_sizes_do_not_stand_in_one_film(tmp_path):
    paths = [tmp_path / "step-00000000.png", tmp_path / "step-00000004.png"]
    for path, side in zip(paths, (16, 18), strict=True):
        images.save(path, noise(side))
    with pytest.raises(SnapshotError) as caught:
        list(images.add_captions(paths, ["a", "b"]))
    assert str(caught.value) == f"{paths[1]}: has 18x18 pixels, and step-00000000.png 16x16; remove it to go without"


def test_grid_takes_arrays_as_it_takes_tensors():
    pixels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    np.testing.assert_array_equal(images.grid(pixels.numpy()), images.grid(pixels))


def test_contact_sheet_is_as_wide_as_its_columns_and_grows_with_its_headings():
    rows = [[Image.new("RGB", (30, 30), "red")] * 3] * 2
    low = images.contact_sheet(rows, [("a", "b")] * 3, 30)
    high = images.contact_sheet(rows, [("a", "a note of several words")] * 3, 30)
    assert low.shape[1] == high.shape[1] == 2 * 12 + 3 * 30 + 2 * 6
    assert high.shape[0] > low.shape[0]
    np.testing.assert_array_equal(high[-12 - 30 : -12, 12:42], np.full((30, 30, 3), (255, 0, 0)))


@pytest.mark.parametrize("text", ["box:1000,2000,30000,30000", "of several words", "x" * 60])
def test_contact_sheet_writes_headings_between_the_columns_edges(text):
    """No ink beside a column: nothing is cut off or written over the neighbour."""
    sheet = images.contact_sheet([[None, None]], [(text, text), ("", "")], 60)
    heading = sheet[:-60, :]
    ink = np.flatnonzero((heading[:-20] < 250).any(axis=(0, 2)))
    assert ink.min() >= 12 - 1 and ink.max() <= 12 + 60 + 1  # a letter may lean over by a pixel


def test_contact_sheet_writes_each_caption_under_its_picture():
    rows = [[Image.new("RGB", (60, 60), "red")] * 2] * 2
    captions = [["0.123", ""], ["", "a text that is much too long for its place"]]
    sheet = images.contact_sheet(rows, [("", "")] * 2, 60, captions=captions)
    plain = images.contact_sheet(rows, [("", "")] * 2, 60, captions=[["", ""]] * 2)
    assert plain.shape[0] - images.contact_sheet(rows, [("", "")] * 2, 60).shape[0] == 2 * 16
    top = int(np.flatnonzero((plain == (255, 0, 0)).all(2).any(1))[0])
    ys, xs = np.nonzero((sheet != plain).any(2))
    first, last = xs < 12 + 60 + 3, xs >= 12 + 60 + 3
    assert top + 60 <= ys[first].min() and ys[first].max() < top + 60 + 16
    assert top + 82 + 60 <= ys[last].min() and ys[last].max() < top + 82 + 60 + 16
    assert xs[last].min() >= 12 + 66 - 1 and xs[last].max() <= 12 + 66 + 60 + 1


def test_contact_sheet_centres_smaller_pictures():
    sheet = images.contact_sheet([[Image.new("L", (10, 20), 0)]], [("", "")], 40)
    dark = np.argwhere(sheet[:, :, 0] == 0)
    assert (dark.max(axis=0) - dark.min(axis=0)).tolist() == [19, 9]
    assert dark[:, 1].min() == 12 + 15


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG no more", "the image is damaged (it begins like a PNG image, but its header cannot be read)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image (it begins like plain text)"),
        (b"", "not an image (it begins like an empty file)"),
    ],
)
def test_a_grid_that_is_no_sound_picture_is_refused(tmp_path, content, reason):
    path = tmp_path / "step-00000004.png"
    path.write_bytes(content)
    with pytest.raises(SnapshotError) as caught:
        next(images.add_captions([path], ["step 4"]))
    assert str(caught.value) == f"{path}: {reason}; remove it to go without"


def test_a_grid_that_is_not_there_or_behind_a_link_is_refused(tmp_path):
    with pytest.raises(SnapshotError) as caught:
        images.read_grid(tmp_path / "real.png")
    assert str(caught.value) == f"{tmp_path}/real.png: cannot be read (No such file or directory)"
    images.save(tmp_path / "elsewhere.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "real.png").symlink_to("elsewhere.png")
    with pytest.raises(SnapshotError, match=r"real.png: cannot be read \(it is a link, which is not followed\)$"):
        images.read_grid(tmp_path / "real.png")


def test_a_grid_of_a_size_beyond_reason_is_not_read(tmp_path):
    path = tmp_path / "step-00000004.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SnapshotError, match=r"the file is too large \(1048576 MiB; the limit is 64 MiB\); remove it"):
        images.read_grid(path)


@pytest.mark.parametrize(("name", "side", "most"), [("a.webp", 16_384, "16,383"), ("a.jpg", 65_501, "65,500")])
def test_a_picture_too_large_for_its_format_is_refused_and_a_png_takes_it(tmp_path, name, side, most):
    wide = np.zeros((1, side), np.uint8)
    with pytest.raises(ConfigError, match=f"{side:,} x 1 pixels; .* takes {most} a side, .png any number"):
        images.save(tmp_path / name, wide)
    images.save(tmp_path / "a.png", wide)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_more_than_a_jpeg_has_room_to_say_is_refused(tmp_path):
    about = {"recipe": "z" * 66_000}
    with pytest.raises(ConfigError, match=r"has more latents to tell of than .jpg has room for; give .png or .webp"):
        images.save(tmp_path / "a.jpg", noise(), about)
    for name in ("a.png", "a.webp"):
        images.save(tmp_path / name, noise(), about)
        assert images.read_about(tmp_path / name) == about


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(("num", "columns", "side"), [(7, None, 16), (5, 2, 64), (1, 9, 100)])
def test_the_size_of_a_grid_is_known_before_it_is_drawn(num, columns, side, labelled):
    pixels = np.zeros((num, 3, side, side), np.uint8)
    sheet = images.grid(pixels, columns, labels=[""] * num if labelled else None)
    assert sheet.shape[:2] == images.grid_size(num, columns, side, labelled=labelled)
