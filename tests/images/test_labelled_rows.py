import numpy as np
import pytest

from facegan import images

MARK = (30, 90, 200)


def arranged(side=64, channels=3, **more):
    pixels = np.random.default_rng(0).integers(0, 200, (2, 3, channels, side, side), dtype=np.uint8)
    given = {"title": "smile", "headings": ["-1", "0", "+1"], "labels": ["7", "1000000"], **more}
    return pixels, images.rows(pixels, **given)


def places(sheet, picture):
    """Where an image (H, W, 3) stands in a sheet: (top, left) pairs."""
    height, width = picture.shape[:2]
    rows, columns = np.nonzero((sheet == picture[0, 0]).all(-1))
    return [
        (top, left)
        for top, left in zip(rows.tolist(), columns.tolist(), strict=True)
        if np.array_equal(sheet[top : top + height, left : left + width], picture)
    ]


@pytest.mark.parametrize(("side", "factor"), [(16, 4), (64, 1), (128, 1)])
def test_pictures_stand_in_their_rows_and_columns_to_the_pixel(side, factor):
    pixels, sheet = arranged(side)
    big = pixels.repeat(factor, 3).repeat(factor, 4).transpose(0, 1, 3, 4, 2)
    found = [[places(sheet, big[row, column]) for column in range(3)] for row in range(2)]
    assert all(len(each) == 1 for row in found for each in row)
    tops, lefts = np.array(found)[:, :, 0, 0], np.array(found)[:, :, 0, 1]
    assert (np.diff(tops, axis=0) == side * factor + 4).all()
    assert (np.diff(lefts, axis=1) == side * factor + 4).all()


def test_grey_pictures_become_colour():
    pixels, sheet = arranged(channels=1)
    assert len(places(sheet, pixels[1, 2].transpose(1, 2, 0).repeat(3, 2))) == 1


def test_only_marked_columns_are_framed():
    _, plain = arranged()
    _, sheet = arranged(marked=[1])
    assert not (plain == MARK).all(-1).any()
    framed = np.nonzero((sheet == MARK).all(-1).any(0))[0]
    pixels, _ = arranged()
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
