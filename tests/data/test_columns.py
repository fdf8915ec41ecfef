import numpy as np
import pyarrow as pa
import pytest

from facegan.data.annotations import column_of, is_plain, partition_of

ROWS = np.array([2, 0, -1, 1])


@pytest.mark.parametrize(
    ("column", "taken"),
    [
        (pa.chunked_array([[True, None], [False]]), [False, True, None, None]),
        (pa.chunked_array([[1, None], [-3]]), [-3, 1, None, None]),
        (pa.chunked_array([pa.array([1, 200, 255], pa.uint8())]), [255, 1, None, 200]),
        (pa.chunked_array([[0.5, float("nan")], [None]]), [None, 0.5, None, None]),
        (pa.chunked_array([["a", "b"], [None]]), [None, "a", None, "b"]),
        (pa.chunked_array([pa.array(["a", "b"], pa.large_string()), pa.array(["a"], pa.large_string())]), list("aa-b")),
        (
            pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["c"]).dictionary_encode()]),
            list("ca-b"),
        ),
        (pa.chunked_array([pa.array([None, None, None], pa.string())]), [None, None, None, None]),
    ],
)
def test_values_come_back_as_they_were(column, taken):
    taken = [None if value == "-" else value for value in taken]
    back = column_of(column).take(ROWS)
    assert back == taken
    assert [type(value) for value in back] == [type(value) for value in taken]


def test_words_are_kept_once():
    column = column_of(pa.chunked_array([["a long word"] * 1000]))
    assert column.words == ["a long word"] and column.values.nbytes <= 4000


@pytest.mark.parametrize(
    ("type", "plain"),
    [
        *[(type, True) for type in (pa.bool_(), pa.int8(), pa.uint64(), pa.float32(), pa.string(), pa.large_string())],
        (pa.dictionary(pa.int32(), pa.string()), True),
        *[(type, False) for type in (pa.binary(), pa.date32(), pa.list_(pa.int8()), pa.struct([("a", pa.int8())]))],
    ],
)
def test_only_truth_numbers_and_text_are_plain(type, plain):
    assert is_plain(type) is plain


def test_partition_names_are_train_val_and_test():
    words = ["0", "1", "2", "TRAIN", "valid", "Validation", "dev", "val", "Test", "other", None]
    column = partition_of(pa.chunked_array([words]))
    expected = ["train", "val", "test", "train", *["val"] * 4, "test", "other", None]
    assert column.take(np.arange(len(words))) == expected
