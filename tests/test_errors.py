import pytest

from facegan.errors import DataError, FaceganError


@pytest.mark.parametrize("kind", [FaceganError, DataError])
def test_message_stays_on_one_line_and_sends_nothing_to_a_terminal(kind):
    assert str(kind("x: is 'a\nb\x1b[2J\ud800'; é is fine")) == r"x: is 'a\nb\x1b[2J\ud800'; é is fine"
