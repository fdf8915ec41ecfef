import os
import threading
import time

import pytest

from facegan.data.parallel import on_all_cores


def test_results_come_in_the_order_of_delivery_whatever_finishes_first():
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number**2

    results = on_all_cores(((str(number), number) for number in range(100)), work)
    assert list(results) == [(str(number), number**2) for number in range(100)]


def test_waiting_pictures_are_few_however_many_there_are():
    """Constant memory: the source is never read far ahead of what has been taken."""
    ahead, done = [], []

    def deliveries():
        for number in range(5000):
            ahead.append(number - len(done))
            yield str(number), b""

    for name, _ in on_all_cores(deliveries(), len):
        done.append(name)
    assert len(done) == 5000 and max(ahead) <= 16 * ((os.cpu_count() or 1) * 4 + 2)


def test_work_runs_beside_the_reading():
    workers = set()
    list(on_all_cores(((str(n), n) for n in range(100)), lambda _: workers.add(threading.get_ident())))
    assert workers and threading.get_ident() not in workers


def test_what_the_work_raises_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(on_all_cores([("a", 1), ("b", 0)], lambda number: 1 / number))


def test_nothing_delivered_is_nothing_done():
    assert list(on_all_cores([], len)) == []
