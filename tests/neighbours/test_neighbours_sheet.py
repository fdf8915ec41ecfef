import numpy as np
import pytest

from facegan import neighbours
from facegan.errors import ConfigError
from facegan.neighbours import NearestImages, pixels


def plain(*colours, side=16):
    """One-coloured images, their left half black."""
    images = np.zeros((len(colours), 3, side, side), np.uint8)
    for image, colour in zip(images, colours, strict=True):
        image[:, :, side // 2 :] = np.array(colour)[:, None, None]
    return images


def found(indices, mirrored=None):
    indices = np.array(indices)
    return NearestImages(np.full(indices.shape, 0.25), indices, np.zeros(indices.shape, bool) | (mirrored or False))


def coloured(sheet, colour):
    """The left and right edge of where a colour is, and its top."""
    rows, columns = np.nonzero((sheet == colour).all(2))
    return columns.min(), columns.max(), rows.min()


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_each_sample_is_followed_by_its_neighbours_from_left_to_right():
    sheet = neighbours.draw_sheet(plain(RED), ["seed 0"], plain(BLUE, GREEN), [(pixels(), found([[1, 0]]))])
    red, green, blue = (coloured(sheet, colour) for colour in (RED, GREEN, BLUE))
    assert red[1] < green[0] < green[1] < blue[0]
    assert red[2] == green[2] == blue[2]
    assert red[1] - red[0] == 56 - 1  # half of 16 pixels, enlarged seven times


def test_a_row_a_sample_and_a_group_of_columns_a_space():
    one = [(pixels(), found([[0], [1]]))]
    narrow = neighbours.draw_sheet(plain(RED, RED), ["a", "b"], plain(BLUE, GREEN), one)
    wide = neighbours.draw_sheet(plain(RED, RED), ["a", "b"], plain(BLUE, GREEN), one * 2)
    assert wide.shape[1] - narrow.shape[1] == 112 + 6
    blue, green = (coloured(narrow, colour) for colour in (BLUE, GREEN))
    assert (blue[0], blue[1]) == (green[0], green[1])
    assert green[2] - blue[2] == 112 + 16 + 6


def test_a_mirrored_neighbour_is_shown_mirrored():
    straight, turned = (
        coloured(neighbours.draw_sheet(plain(RED), ["a"], plain(BLUE), [(pixels(), found([[0]], mirrored))]), BLUE)
        for mirrored in (False, True)
    )
    assert straight[0] - turned[0] == 56


def test_label_and_distance_are_below_their_images():
    def below(label, distance):
        each = found([[0]])
        each = NearestImages(each.distances * distance, each.indices, each.mirrored)
        return neighbours.draw_sheet(plain(RED), [label], plain(BLUE), [(pixels(), each)])

    first, other_label, other_distance = below("seed 0", 1), below("seed 8", 1), below("seed 0", 2)
    for other, columns in ((other_label, slice(0, 124)), (other_distance, slice(124, None))):
        rows, changed = np.nonzero((first != other).any(2))
        assert set(changed) <= set(range(first.shape[1])[columns])
        assert rows.min() >= coloured(first, RED)[2] + 112


def test_grey_images_become_a_sheet():
    grey = plain(RED)[:, :1]
    assert neighbours.draw_sheet(grey, ["a"], grey, [(pixels(), found([[0]]))]).shape[2] == 3


def test_a_sheet_too_large_to_be_opened_is_refused():
    neighbours.check_sheet_size(100, 7, 64)
    with pytest.raises(ConfigError) as refusal:
        neighbours.check_sheet_size(10_000, 7, 64)
    assert str(refusal.value) == (
        "10,000 samples with 6 images each are too many for one sheet; ask for at most 568, or for fewer --nearest"
    )
