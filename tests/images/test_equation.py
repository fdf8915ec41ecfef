import numpy as np
import pytest

from facegan.images import Term, equation


def faces(num, size=64, channels=3, shade=100):
    """Of one colour each, which neither text nor paper has: its first channel counts from `shade` on."""
    pictures = np.zeros((num, channels, size, size), np.uint8)
    pictures[:, 0] = np.arange(shade, shade + num, dtype=np.uint8)[:, None, None]
    return pictures


def is_face(sheet, shade):
    """Where on a sheet a face of that shade is."""
    return (sheet == (shade, 0, 0)).all(2)


def area(sheet, shade):
    """How many pixels it has."""
    return is_face(sheet, shade).sum()


AROUND = faces(9, shade=200)


def term(sign, num, shade):
    return Term(sign, faces(num, shade=shade), [str(n) for n in range(num)], faces(1, shade=shade + 50))


@pytest.mark.parametrize(("size", "factor"), [(16, 4), (32, 2), (64, 1), (128, 1)])
def test_every_face_is_shown_once_enlarged_by_a_whole_factor_and_the_sum_thrice_as_large(size, factor):
    terms = [Term("+", faces(3, size), ["a", "b", "c"], faces(1, size, shade=10))]
    sheet = equation(terms, faces(9, size, shade=200), ("sum", "noise"))
    one = (size * factor) ** 2
    assert [area(sheet, shade) for shade in (100, 101, 102, 10)] == [one] * 4
    assert [area(sheet, 200 + place) for place in range(9)] == [one] * 4 + [one + 9 * one] + [one] * 4


def test_one_point_is_shown_once_as_its_own_mean():
    sheet = equation([term("+", 1, 100), term("-", 1, 20)], AROUND, ("sum", "noise"))
    assert [area(sheet, shade) for shade in (100, 20, 150, 70)] == [0, 0, 64**2, 64**2]


def test_means_stand_in_a_row_whatever_the_number_of_their_faces():
    sheet = equation([term("+", 4, 100), term("-", 2, 20)], AROUND, ("sum", "noise"))
    rows = [np.flatnonzero(is_face(sheet, shade).any(1)) for shade in (150, 70, 204)]
    assert rows[0].tolist() == rows[1].tolist()
    assert rows[0][-1] == rows[2][-1]  # on the ground that the sum stands on


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
    plain = equation([Term("+", faces(2), ["1", "2"], faces(1))], AROUND, ("", ""))
    captioned = equation([Term("+", faces(2), ["1", "2"], faces(1))], AROUND, ("sum", "noise"))
    more = equation([Term("+", faces(2), ["1", "2", "3"], faces(1))], AROUND, ("", ""))
    bottom = plain.shape[0] - 22
    assert np.array_equal(captioned[:bottom], plain[:bottom])
    assert not np.array_equal(captioned[bottom:], plain[bottom:])
    assert np.array_equal(more[:bottom], plain[:bottom])
    assert not np.array_equal(more[bottom:, :76], plain[bottom:, :76])  # mean of 3 instead of mean of 2
