"""Rows of numbers, sorted as fast as the processor can, and the threads that do it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from timeit import repeat

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 8  # rows that a thread sorts before it looks for more


@contextmanager
def workers(device: str) -> Iterator[Executor]:
    """As many threads as torch has, each of which computes alone; one, where another device does the work.

    Threads that share nothing but long tasks suffer little when the processor has other work too. Those of torch wait
    for each other in every operation, which then takes many times longer.
    """
    num = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            num if device == "cpu" else 1, initializer=torch.set_num_threads, initargs=(1,)
        ) as crew:
            yield crew
    finally:
        torch.set_num_threads(num)  # this thread's own never changed, but new ones would begin with 1


def sort_rows(values: Tensor, crew: Executor) -> Tensor:
    """Each row of float32 (k, n) in ascending order, in place on the CPU."""
    if values.device.type != "cpu":
        return values.sort(1).values
    way = crew.submit(_fastest, values.shape[1]).result()

    def each(rows: Tensor) -> None:
        for row in rows:
            way(row)

    list(crew.map(each, torch.split(values, AT_ONCE)))
    return values


@cache
def _fastest(num: int) -> Callable[[Tensor], None]:
    """The way to sort so many numbers that is faster here. Both give the same.

    Neither is on every processor: with the vector instructions of some, NumPy is 4 times slower than torch, and with
    those of others faster, and not every build of torch has a radix sort.
    """
    row = torch.from_numpy(np.random.default_rng(0).standard_normal(num, np.float32))
    return min((_compare, _radix), key=lambda sort: min(repeat(lambda: sort(row.clone()), number=1, repeat=2)))


def _compare(row: Tensor) -> None:
    row.numpy().sort()  # without the interpreter's lock


def _radix(row: Tensor) -> None:
    """By the bits: torch sorts long rows of whole numbers by their digits, and all others by comparing."""
    bits = row.view(torch.int32)
    bits.copy_(_turned(_turned(bits).sort().values))


def _turned(bits: Tensor) -> Tensor:
    """Whole numbers in the order of the numbers whose bits they are, and back: the negative ones count down."""
    return bits ^ (bits >> 31).bitwise_and_(torch.iinfo(torch.int32).max)
