import threading

import numpy as np
import pytest
import torch

from facegan.distances import rows
from facegan.distances.rows import sort_rows, workers


def numbers(num):
    found = np.random.default_rng(0).standard_normal((20, num), np.float32) * 1e3
    found[:, :6] = [-0.0, 0.0, np.inf, -np.inf, 1e-42, -1e-42]
    return found


@pytest.mark.parametrize("num", [6, 33_000])
@pytest.mark.parametrize("sort", [rows._compare, rows._radix])
def test_both_ways_sort_negative_tiny_and_infinite_numbers(sort, num):
    row = torch.from_numpy(numbers(num)[0])
    expected = np.sort(row.numpy())
    sort(row)
    assert np.array_equal(row.numpy(), expected)


@pytest.mark.parametrize("num", [7, 33_000])
def test_every_row_is_sorted_in_place(num):
    values = torch.from_numpy(numbers(num))
    expected = np.sort(values.numpy(), 1)
    with workers("cpu") as crew:
        found = sort_rows(values, crew)
    assert found.data_ptr() == values.data_ptr()
    assert np.array_equal(found.numpy(), expected)


def test_each_worker_computes_alone_and_threads_are_as_many_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with workers("cpu") as crew:
            both = threading.Barrier(2, timeout=10)  # none is passed before two are there
            assert list(crew.map(lambda _: (both.wait() >= 0, torch.get_num_threads()), range(2))) == [(True, 1)] * 2
        new = []
        thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert [torch.get_num_threads(), *new] == [2, 2]
    finally:
        torch.set_num_threads(before)
