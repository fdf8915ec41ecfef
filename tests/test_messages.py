import errno

import pytest

from facegan.errors import DataError, FaceganError
from facegan.messages import counted, nearest, one_line, os_reason, quoted


@pytest.mark.parametrize("kind", [FaceganError, DataError])
def test_an_error_stays_on_one_line_and_sends_nothing_to_a_terminal(kind):
    assert str(kind("x: is 'a\nb\x1b[2J\ud800'; é is fine")) == r"x: is 'a\nb\x1b[2J\ud800'; é is fine"


def test_an_error_without_text_is_named_by_its_class():
    assert one_line(ValueError(" a\n  b ")) == "a b"
    assert one_line(ValueError("abcdef"), 3) == "abc"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_long_values_are_cut_in_the_middle():
    assert quoted("short") == "'short'"
    assert quoted("x" * 999) == f"'{'x' * 99}...{'x' * 16}'"
    assert quoted(10**5000) == "a number of thousands of digits"


@pytest.mark.parametrize(
    ("name", "known", "answer"),
    [
        ("dcgn", ["dcgan", "other"], "did you mean 'dcgan'?"),
        ("zzz", ["a", "b"], "there is: a, b"),
        ("zzz", [], "there is none"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_all(name, known, answer):
    assert nearest(name, known) == answer


def test_a_list_of_names_ends_with_the_number_of_the_rest():
    assert nearest("zzz", [f"n{place}" for place in range(50)]).endswith("n39 and 10 more")


def test_counts_have_a_plural():
    assert [counted(num, "file") for num in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]


def test_name_that_is_too_long_is_refused_with_the_limit():
    assert os_reason(OSError(errno.ENAMETOOLONG, "File name too long")) == (
        "File name too long (most systems take 255 bytes a name, and 4,096 a path)"
    )
    assert os_reason(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert os_reason(OSError("no number")) == "no number"
