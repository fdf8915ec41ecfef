import numpy as np
import pytest
import torch
from PIL import Image

from facegan import images
from facegan.errors import SnapshotError
from facegan.images.layouts import (
    Term,
    add_captions,
    contact_sheet,
    equation,
    grid,
    grid_size,
    near_square,
    rows,
    side_by_side,
)

MARK = (30, 90, 200)


def noise(side=16):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


# Grids


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_places_images_row_by_row_on_white(channels):
    pixels = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, channels, 4, 6)
    sheet = grid(pixels, columns=3).copy()
    assert sheet.shape == ((2 * 4 + 2, 3 * 6 + 4, 3) if channels == 3 else (10, 22))
    np.testing.assert_array_equal(grid(pixels.numpy(), columns=3), sheet)
    for index, (top, left) in enumerate([(0, 0), (0, 8), (0, 16), (6, 0), (6, 8)]):
        assert (sheet[top : top + 4, left : left + 6] == index).all()
        sheet[top : top + 4, left : left + 6] = 255
    assert (sheet == 255).all()


def test_grid_keeps_colours_and_orientation():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    image[0, 0, 0, 1] = 200  # red, at the top right
    assert grid(image)[0, 1].tolist() == [200, 0, 0]


def test_grids_are_near_square_and_never_more_than_three_times_as_wide_as_high():
    expected = {1: 1, 2: 2, 4: 2, 5: 3, 6: 3, 9: 3, 12: 4, 64: 8, 100: 10}
    assert {num: near_square(num) for num in expected} == expected
    assert all(
        -(-num // near_square(num)) <= near_square(num) <= 3 * -(-num // near_square(num)) for num in range(1, 500)
    )


def test_an_empty_grid_is_refused():
    with pytest.raises(ValueError, match=r"^a grid needs at least one image$"):
        grid(torch.zeros(0, 3, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(("num", "columns", "side"), [(7, None, 16), (5, 2, 64), (1, 9, 100)])
def test_the_size_of_a_grid_is_known_before_it_is_drawn(num, columns, side, labelled):
    pixels = np.zeros((num, 3, side, side), np.uint8)
    sheet = grid(pixels, columns, labels=[""] * num if labelled else None)
    assert sheet.shape[:2] == grid_size(num, columns, side, labelled=labelled)


# Grids side by side, and with captions


@pytest.mark.parametrize(("height", "factor"), [(400, 1), (399, 2), (150, 3)])
def test_grids_side_by_side_keep_their_pixels_and_small_ones_are_enlarged(height, factor):
    left, right = noise(20), noise(height)[:, :30, 0]
    sheet = side_by_side((left, right), ("real", "fake"))
    assert sheet.shape == (factor * height + 28 + 16, factor * 60 + 48, 3)
    shown = sheet[28:, 16:][::factor, ::factor]
    assert np.array_equal(shown[:20, :20], left)
    shown = sheet[28 : 28 + factor * height, 32 + factor * 30 :][::factor, ::factor]
    assert np.array_equal(shown[:, :30, 1], right)
    assert (sheet[:28] < 255).any()  # the captions


def test_several_grids_lie_in_rows_under_captions_that_fit_their_places():
    sides = [noise(400) for _ in range(4)]
    sheet = side_by_side(sides, ["a", "b", "c", "a caption that is wider than its place is, by far, as long names are"])
    band = 28 + 17
    assert sheet.shape == (2 * (400 + band) + 16, 2 * (400 + 16) + 16, 3)
    for place, side in enumerate(sides):
        top, left = band + place // 2 * (400 + band), 16 + place % 2 * 416
        assert np.array_equal(sheet[top : top + 400, left : left + 400], side)
    assert (sheet[:, -16:] == 255).all()  # no caption runs over the edge


@pytest.mark.parametrize(("height", "factor"), [(400, 1), (40, 10)])
def test_a_caption_is_below_its_grid_and_a_small_grid_is_enlarged(tmp_path, height, factor):
    images.save(tmp_path / "faces.png", noise(height))
    (sheet,) = add_captions([tmp_path / "faces.png"], ["step 1,000"])
    assert np.array_equal(sheet[: height * factor : factor, ::factor], noise(height))
    assert (sheet[height * factor :] < 128).any()


def test_grids_of_two_sizes_are_refused_in_one_animation(tmp_path):
    paths = [tmp_path / "step-00000000.png", tmp_path / "step-00000004.png"]
    for path, side in zip(paths, (16, 18), strict=True):
        images.save(path, noise(side))
    with pytest.raises(SnapshotError) as caught:
        list(add_captions(paths, ["a", "b"]))
    assert str(caught.value) == f"{paths[1]}: has 18x18 pixels, and step-00000000.png 16x16; remove it to go without"


# Contact sheets


def test_contact_sheet_is_as_wide_as_its_columns_and_grows_with_its_headings():
    cells = [[Image.new("RGB", (30, 30), "red")] * 3] * 2
    low = contact_sheet(cells, [("a", "b")] * 3, 30)
    high = contact_sheet(cells, [("a", "a note of several words")] * 3, 30)
    assert low.shape[1] == high.shape[1] == 2 * 12 + 3 * 30 + 2 * 6
    assert high.shape[0] > low.shape[0]
    np.testing.assert_array_equal(high[-12 - 30 : -12, 12:42], np.full((30, 30, 3), (255, 0, 0)))


@pytest.mark.parametrize("text", ["box:1000,2000,30000,30000", "of several words", "x" * 60])
def test_contact_sheet_writes_headings_between_the_columns_edges(text):
    """No ink next to a column: nothing is cut off or written over the neighbour."""
    sheet = contact_sheet([[None, None]], [(text, text), ("", "")], 60)
    heading = sheet[:-60, :]
    ink = np.flatnonzero((heading[:-20] < 250).any(axis=(0, 2)))
    assert ink.min() >= 12 - 1 and ink.max() <= 12 + 60 + 1  # a letter may lean over by a pixel


def test_contact_sheet_writes_each_caption_under_its_image():
    cells = [[Image.new("RGB", (60, 60), "red")] * 2] * 2
    captions = [["0.123", ""], ["", "a text that is much too long for its place"]]
    sheet = contact_sheet(cells, [("", "")] * 2, 60, captions=captions)
    plain = contact_sheet(cells, [("", "")] * 2, 60, captions=[["", ""]] * 2)
    assert plain.shape[0] - contact_sheet(cells, [("", "")] * 2, 60).shape[0] == 2 * 16
    top = int(np.flatnonzero((plain == (255, 0, 0)).all(2).any(1))[0])
    ys, xs = np.nonzero((sheet != plain).any(2))
    first, last = xs < 12 + 60 + 3, xs >= 12 + 60 + 3
    assert top + 60 <= ys[first].min() and ys[first].max() < top + 60 + 16
    assert top + 82 + 60 <= ys[last].min() and ys[last].max() < top + 82 + 60 + 16
    assert xs[last].min() >= 12 + 66 - 1 and xs[last].max() <= 12 + 66 + 60 + 1


def test_contact_sheet_centres_smaller_images():
    sheet = contact_sheet([[Image.new("L", (10, 20), 0)]], [("", "")], 40)
    dark = np.argwhere(sheet[:, :, 0] == 0)
    assert (dark.max(axis=0) - dark.min(axis=0)).tolist() == [19, 9]
    assert dark[:, 1].min() == 12 + 15


# Labelled rows


def arranged(side=64, channels=3, **more):
    pixels = np.random.default_rng(0).integers(0, 200, (2, 3, channels, side, side), dtype=np.uint8)
    given = {"title": "smile", "headings": ["-1", "0", "+1"], "labels": ["7", "1000000"], **more}
    return pixels, rows(pixels, **given)


def places(sheet, image):
    """Where an image (H, W, 3) is in a sheet: (top, left) pairs."""
    height, width = image.shape[:2]
    found = np.argwhere((sheet == image[0, 0]).all(-1)).tolist()
    return [at for at in found if np.array_equal(sheet[at[0] : at[0] + height, at[1] : at[1] + width], image)]


@pytest.mark.parametrize(("side", "channels", "factor"), [(16, 3, 4), (64, 1, 1), (128, 3, 1)])
def test_images_lie_in_their_rows_and_columns_to_the_pixel(side, channels, factor):
    pixels, sheet = arranged(side, channels)
    big = pixels.repeat(factor, 3).repeat(factor, 4).repeat(3 // channels, 2).transpose(0, 1, 3, 4, 2)
    found = [[places(sheet, big[row, column]) for column in range(3)] for row in range(2)]
    assert all(len(each) == 1 for row in found for each in row)
    tops, lefts = np.array(found)[:, :, 0, 0], np.array(found)[:, :, 0, 1]
    assert (np.diff(tops, axis=0) == side * factor + 4).all()
    assert (np.diff(lefts, axis=1) == side * factor + 4).all()


def test_only_marked_columns_are_framed():
    pixels, plain = arranged()
    _, sheet = arranged(marked=[1])
    assert not (plain == MARK).all(-1).any()
    framed = np.nonzero((sheet == MARK).all(-1).any(0))[0]
    _, left = places(sheet, pixels[0, 1].transpose(1, 2, 0))[0]
    assert (framed.min(), framed.max()) == (left - 3, left + 66)


def test_title_headings_and_labels_are_drawn():
    _, sheet = arranged()
    for other in ({"title": "smila"}, {"headings": ["-1", "0", "+2"]}, {"labels": ["8", "1000000"]}):
        _, changed = arranged(**other)
        assert changed.shape == sheet.shape
        assert not np.array_equal(changed, sheet)


def test_long_title_and_more_lines_of_headings_make_the_sheet_higher_not_wider():
    _, sheet = arranged()
    _, longer = arranged(title="smile " * 30)
    assert longer.shape[0] > sheet.shape[0]
    assert longer.shape[1] == sheet.shape[1]
    assert arranged(headings=["a\nb", "", ""])[1].shape[0] == sheet.shape[0] + 14


# Equations


def faces(num, size=64, channels=3, shade=100):
    """Of one colour each, which neither text nor paper has: its first channel counts from `shade` on."""
    pixels = np.zeros((num, channels, size, size), np.uint8)
    pixels[:, 0] = np.arange(shade, shade + num, dtype=np.uint8)[:, None, None]
    return pixels


def is_face(sheet, shade):
    """Where on a sheet a face of that shade is."""
    return (sheet == (shade, 0, 0)).all(2)


AROUND = faces(9, shade=200)


def term(sign, num, shade, labels=None):
    return Term(sign, faces(num, shade=shade), labels or [str(n) for n in range(num)], faces(1, shade=shade + 50))


@pytest.mark.parametrize(("size", "factor"), [(16, 4), (64, 1), (96, 1)])
def test_every_face_is_shown_once_enlarged_by_a_complete_factor_and_the_sum_thrice_as_large(size, factor):
    terms = [Term("+", faces(3, size), ["a", "b", "c"], faces(1, size, shade=10))]
    sheet = equation(terms, faces(9, size, shade=200), ("sum", "noise"))
    one = (size * factor) ** 2
    expected = {100: one, 101: one, 102: one, 10: one, 200: one, 204: one + 9 * one, 208: one}
    assert {shade: int(is_face(sheet, shade).sum()) for shade in expected} == expected


def test_one_point_is_shown_once_as_its_own_mean():
    sheet = equation([term("+", 1, 100), term("-", 1, 20)], AROUND, ("sum", "noise"))
    assert [is_face(sheet, shade).sum() for shade in (100, 20, 150, 70)] == [0, 0, 64**2, 64**2]


def test_means_lie_in_a_row_whatever_the_number_of_their_faces():
    sheet = equation([term("+", 4, 100), term("-", 2, 20)], AROUND, ("sum", "noise"))
    lines = [np.flatnonzero(is_face(sheet, shade).any(1)) for shade in (150, 70, 204)]
    assert lines[0].tolist() == lines[1].tolist()
    assert lines[0][-1] == lines[2][-1]  # level with the sum


def test_signs_differ():
    added, subtracted = (equation([term("+", 1, 100), term(s, 1, 20)], AROUND, ("", "")) for s in ("+", "-"))
    different = np.flatnonzero((added != subtracted).any(2).any(0))
    assert 12 + 64 < different.min() <= different.max() < 12 + 64 + 34  # only between the two


def test_many_faces_take_more_columns_and_grey_ones_are_shown_too():
    few, many = (
        equation([Term("+", faces(num, channels=1), ["x"] * 99, faces(1, channels=1))], faces(9, channels=1), ("", ""))
        for num in (4, 5)
    )
    assert many.shape[1] == few.shape[1] + 64 + 2
    assert many.shape[2] == 3


def test_captions_and_the_number_averaged_are_written():
    plain = equation([term("+", 2, 100)], AROUND, ("", ""))
    captioned = equation([term("+", 2, 100)], AROUND, ("sum", "noise"))
    more = equation([term("+", 2, 100, labels=["0", "1", "2"])], AROUND, ("", ""))
    bottom = plain.shape[0] - 22
    assert np.array_equal(captioned[:bottom], plain[:bottom])
    assert not np.array_equal(captioned[bottom:], plain[bottom:])
    assert np.array_equal(more[:bottom], plain[:bottom])
    assert not np.array_equal(more[bottom:, :76], plain[bottom:, :76])  # mean of 3 instead of mean of 2
