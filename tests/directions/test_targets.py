import numpy as np
import pytest

from facegan.directions.targets import questions


def column(asked, name):
    return asked.values[:, asked.names.index(name)]


def test_booleans_and_two_numbers_are_asked_as_they_are():
    asked = questions({"hat": [True, False] * 10, "Smiling": [-1, 1, 1, -1] * 5})
    assert asked.names == ["hat", "Smiling"]
    assert column(asked, "hat").tolist() == [1, 0] * 10
    assert column(asked, "Smiling").tolist() == [0, 1, 1, 0] * 5


def test_numbers_are_asked_whether_they_lie_above_the_median():
    assert column(questions({"age": list(range(21))}), "age").tolist() == [0] * 11 + [1] * 10


def test_each_word_is_a_question_and_of_two_words_the_rarer_one():
    asked = questions({"hair": ["bob", "bun", "bald"] * 10, "light": ["left"] * 18 + ["right"] * 12})
    assert asked.names == ["hair=bald", "hair=bob", "hair=bun", "light=right"]
    assert column(asked, "hair=bun").tolist() == [0, 1, 0] * 10
    assert column(asked, "light=right").sum() == 12


def test_what_is_not_known_is_masked_and_does_not_move_the_median():
    asked = questions({"age": [*range(20), None, None], "hat": [None, *[True, False] * 10, None], "z": [1] * 22})
    assert np.isnan(column(asked, "age")).tolist() == [False] * 20 + [True] * 2
    assert np.nansum(column(asked, "age")) == 10
    assert np.isnan(column(asked, "hat")).nonzero()[0].tolist() == [0, 21]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1] * 40, "it is the same for all images"),
        ([None] * 40, "it is known of no image"),
        ([True] * 9 + [False] * 31, "too few images to learn from (9 of the rarer kind, at least 10)"),
        ([f"name {n}" for n in range(40)], "it has 40 different words (at most 32)"),
    ],
)
def test_column_that_cannot_be_learned_is_passed_over_with_its_reason(values, reason):
    asked = questions({"it": values})
    assert (asked.names, asked.passed_over) == ([], {"it": reason})


def test_same_question_is_asked_once():
    worn = [True, False] * 10
    asked = questions({"style": ["round", "none"] * 10, "glasses": worn})
    assert asked.names == ["glasses"]
    assert asked.passed_over == {"style=none": "says the same as glasses"}


def test_partition_and_identity_say_nothing_of_a_face():
    assert questions({"partition": ["train", "val"] * 20, "identity": list(range(40))}).names == []


def test_digest_changes_with_one_answer_and_with_a_name():
    first, second = [True, False] * 10, [True, False] * 9 + [False, True]
    digests = {questions(columns).digest for columns in ({"a": first}, {"a": second}, {"b": first})}
    assert len(digests) == 3
