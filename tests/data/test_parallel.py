import os
import threading
import time

import pytest

from facegan.data.parallel import on_all_cores


class Numbers:
    """A source of numbers in place of pictures; notes who reads them, and how far ahead of `done`."""

    def __init__(self):
        self.readers, self.calls, self.ahead, self.done = set(), [], [], []

    def read(self, names, resolution):
        self.calls.append(len(names))
        for name in names:
            self.readers.add(threading.get_ident())
            self.ahead.append(int(name) - len(self.done))
            yield name, int(name) * resolution


class ChunkedNumbers(Numbers):
    chunk = 7


@pytest.fixture(params=[Numbers, ChunkedNumbers])
def numbers(request):
    return request.param()


NAMES = [str(number) for number in range(100)]


def test_results_come_in_the_order_of_delivery_whatever_finishes_first(numbers):
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number**2

    assert list(on_all_cores(numbers, NAMES, 2, work)) == [(name, 4 * int(name) ** 2) for name in NAMES]


def test_waiting_pictures_are_few_however_many_there_are(numbers):
    """Constant memory: the source is never read far ahead of what has been taken."""
    for name, _ in on_all_cores(numbers, [str(number) for number in range(5000)], 1, abs):
        numbers.done.append(name)
    assert len(numbers.done) == 5000 and max(numbers.ahead) <= 16 * ((os.cpu_count() or 1) * 4 + 2)


def test_work_runs_beside_the_callers_thread(numbers):
    workers = set()
    list(on_all_cores(numbers, NAMES, 1, lambda _: workers.add(threading.get_ident())))
    assert workers and threading.get_ident() not in workers


def test_only_a_source_with_chunks_is_read_in_the_threads():
    plain, chunked = Numbers(), ChunkedNumbers()
    for source in (plain, chunked):
        list(on_all_cores(source, NAMES, 1, abs))
    assert plain.readers == {threading.get_ident()} and plain.calls == [100]
    assert threading.get_ident() not in chunked.readers and sorted(chunked.calls) == [2, *[7] * 14]


def test_what_the_work_raises_is_raised_here(numbers):
    with pytest.raises(ZeroDivisionError):
        list(on_all_cores(numbers, ["1", "0"], 1, lambda number: 1 / number))


def test_no_names_are_no_work(numbers):
    assert list(on_all_cores(numbers, [], 1, abs)) == []
