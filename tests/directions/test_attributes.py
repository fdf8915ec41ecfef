import numpy as np
import pytest

from facegan.directions.attributes import binary_labels


def column(labels, name):
    return labels.values[:, labels.names.index(name)]


def test_booleans_and_two_numbers_are_labels_as_they_are():
    labels = binary_labels({"hat": [True, False] * 10, "Smiling": [-1, 1, 1, -1] * 5})
    assert labels.names == ["hat", "Smiling"]
    assert column(labels, "hat").tolist() == [1, 0] * 10
    assert column(labels, "Smiling").tolist() == [0, 1, 1, 0] * 5


def test_numbers_are_split_at_the_median():
    assert column(binary_labels({"age": list(range(21))}), "age").tolist() == [0] * 11 + [1] * 10


def test_each_word_is_a_label_and_of_two_words_the_rarer_one():
    labels = binary_labels({"hair": ["bob", "bun", "bald"] * 10, "light": ["left"] * 18 + ["right"] * 12})
    assert labels.names == ["hair=bald", "hair=bob", "hair=bun", "light=right"]
    assert column(labels, "hair=bun").tolist() == [0, 1, 0] * 10
    assert column(labels, "light=right").sum() == 12


def test_unknown_values_are_masked_and_do_not_move_the_median():
    labels = binary_labels({"age": [*range(20), None, None], "hat": [None, *[True, False] * 10, None], "z": [1] * 22})
    assert np.isnan(column(labels, "age")).tolist() == [False] * 20 + [True] * 2
    assert np.nansum(column(labels, "age")) == 10
    assert np.isnan(column(labels, "hat")).nonzero()[0].tolist() == [0, 21]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1] * 40, "it is the same for all images"),
        ([None] * 40, "it is unknown for all images"),
        ([True] * 9 + [False] * 31, "too few images to learn from (9 of the rarer kind, at least 10)"),
        ([f"name {n}" for n in range(40)], "it has 40 different words (at most 32)"),
    ],
)
def test_column_that_cannot_be_learned_is_skipped_with_its_reason(values, reason):
    labels = binary_labels({"it": values})
    assert (labels.names, labels.skipped) == ([], {"it": reason})


def test_labels_that_are_equal_or_inverted_are_kept_once():
    worn = [True, False] * 10
    labels = binary_labels({"style": ["round", "none"] * 10, "glasses": worn})
    assert labels.names == ["glasses"]
    assert labels.skipped == {"style=none": "means the same as glasses"}


def test_partition_and_identity_are_no_attributes():
    assert binary_labels({"partition": ["train", "val"] * 20, "identity": list(range(40))}).names == []


def test_digest_changes_with_one_value_and_with_a_name():
    first, second = [True, False] * 10, [True, False] * 9 + [False, True]
    digests = {binary_labels(columns).digest for columns in ({"a": first}, {"a": second}, {"b": first})}
    assert len(digests) == 3
