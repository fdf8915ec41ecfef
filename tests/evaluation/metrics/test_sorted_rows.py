import threading

import numpy as np
import pytest
import torch

from facegan.evaluation.metrics.swd import radix_sort, sort_rows, sorting_threads


def numbers(num):
    found = np.random.default_rng(0).standard_normal((20, num), np.float32) * 1e3
    found[:, :6] = [-0.0, 0.0, np.inf, -np.inf, 1e-42, -1e-42]
    return found


@pytest.mark.parametrize("num", [6, 33_000])
def test_radix_sort_orders_negative_tiny_and_infinite_numbers(num):
    row = torch.from_numpy(numbers(num)[0])
    expected = np.sort(row.numpy())
    radix_sort(row)
    assert np.array_equal(row.numpy(), expected)


@pytest.mark.parametrize("num", [7, 33_000])
def test_every_row_is_sorted_in_place(num):
    values = torch.from_numpy(numbers(num))
    expected = np.sort(values.numpy(), 1)
    with sorting_threads("cpu") as pool:
        found = sort_rows(values, pool)
    assert found.data_ptr() == values.data_ptr()
    assert np.array_equal(found.numpy(), expected)


def test_each_thread_computes_alone_and_threads_are_as_many_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with sorting_threads("cpu") as pool:
            both = threading.Barrier(2, timeout=600)  # none is passed before two are there
            assert list(pool.map(lambda _: (both.wait() >= 0, torch.get_num_threads()), range(2))) == [(True, 1)] * 2
        new = []
        thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert [torch.get_num_threads(), *new] == [2, 2]
    finally:
        torch.set_num_threads(before)
