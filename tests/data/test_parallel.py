import multiprocessing
import os
import select
import signal
import sys
import threading
import warnings

import pytest

from facegan.data.parallel import parallel_map
from facegan.errors import FaceganError

FEW, MANY = ([str(number) for number in range(count)] for count in (100, 300))  # in threads, in processes
FORK = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


class Numbers:
    """A source of numbers in place of images; notes how far its reading is ahead of `done`."""

    def __init__(self):
        self.calls, self.ahead, self.done = [], [], []

    def read(self, names, resolution):
        self.calls.append(len(names))
        for name in names:
            self.ahead.append(int(name) - len(self.done))
            yield name, (int(name) * resolution, os.getpid(), threading.get_ident())


class ChunkedNumbers(Numbers):
    chunk = 7


@pytest.fixture(params=[Numbers, ChunkedNumbers])
def numbers(request):
    return request.param()


@pytest.fixture
def cores(monkeypatch):
    """cores(2) -> work as on a machine with two."""
    return lambda num: monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(num)), raising=False)


def places(source, names):
    """(pid, thread) of the reading and of the working, each image."""
    work = parallel_map(source, names, 1, lambda _, read: (read[1:], (os.getpid(), threading.get_ident())))
    return [place for _, place in work]


@pytest.mark.parametrize("names", [FEW, MANY])
def test_results_come_in_the_order_of_delivery_whatever_finishes_first(numbers, names, cores):
    cores(2)
    later_is_done = FORK.Event()

    def work(name, read):
        if name == "0":
            later_is_done.wait()
        if name == "50":
            later_is_done.set()
        return name, read[0] ** 2

    assert list(parallel_map(numbers, names, 2, work)) == [(name, (name, 4 * int(name) ** 2)) for name in names]


def test_waiting_images_are_few_however_many_there_are(cores):
    """Constant memory: the source is never read far ahead of what has been taken."""
    cores(1)
    numbers = Numbers()
    for name, _ in parallel_map(numbers, MANY, 1, lambda *_: None):
        numbers.done.append(name)
    assert len(numbers.done) == len(MANY) and max(numbers.ahead) <= 32 * (4 + 2) < len(MANY)


def test_few_images_are_worked_on_in_threads(numbers):
    here = os.getpid(), threading.get_ident()
    assert all(pid == here[0] and (pid, thread) != here for _, (pid, thread) in places(numbers, FEW))


@linux
@pytest.mark.parametrize("names", [FEW, MANY])
def test_only_a_source_with_chunks_is_read_where_the_work_is_done(names):
    here = os.getpid(), threading.get_ident()
    plain, chunked = Numbers(), ChunkedNumbers()
    for (read, worked), (chunk_read, chunk_worked) in zip(places(plain, names), places(chunked, names), strict=True):
        assert read == here and chunk_read == chunk_worked
        assert names is FEW or os.getpid() not in (worked[0], chunk_worked[0])  # many: in other processes
    assert plain.calls == [len(names)]
    if names is FEW:
        assert sorted(chunked.calls) == [2, *[7] * 14]


@pytest.mark.parametrize("names", [FEW, MANY])
def test_an_error_of_the_work_is_raised_here(numbers, names):
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(numbers, names, 1, lambda _, read: 1 / read[0]))


@linux
def test_death_of_a_process_is_one_line(numbers):
    with pytest.raises(FaceganError) as caught:
        list(parallel_map(numbers, MANY, 1, lambda name, _: os._exit(9) if name == "150" else None))
    assert str(caught.value) == "a process that read images died; perhaps the memory was full"


@linux
def test_a_signal_at_the_fork_ends_the_worker_and_does_not_run_the_callers_handler(numbers, monkeypatch):
    fork, (reading, writing) = os.fork, os.pipe()

    def forked_and_struck():
        if (pid := fork()) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return pid

    def handle(*_):
        os.write(writing, b"in a worker")
        os._exit(1)

    monkeypatch.setattr(os, "fork", forked_and_struck)
    before = signal.signal(signal.SIGTERM, handle)
    try:
        with pytest.raises(FaceganError, match="a process that read images died"):
            list(parallel_map(numbers, MANY, 1, lambda *_: None))
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert file.read() == b""


@linux
def test_death_of_an_idle_process_does_not_hang():
    """The one that works on is ended, though another died with a lock in its hands."""
    worked = FORK.Semaphore(0)

    class Dying(Numbers):
        def read(self, names, resolution):
            for name in names:
                if name == "150":
                    for _ in range(4 * 32):  # the tasks that were handed out
                        worked.acquire()
                    workers = FORK.active_children()
                    workers[0].kill()
                    [worker.join() for worker in workers]
                yield name, name

    with pytest.raises(FaceganError, match="a process that read images died"):
        list(parallel_map(Dying(), MANY, 1, lambda *_: worked.release()))


@linux
def test_processes_end_with_their_caller():
    pids, let_go = FORK.SimpleQueue(), FORK.Event()

    def work(name, read):
        pids.put(os.getpid())
        let_go.wait()  # for ever

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking next to threads
        caller = FORK.Process(target=lambda: list(parallel_map(Numbers(), MANY, 1, work)))
        caller.start()
    worker = os.pidfd_open(pids.get())
    caller.kill()
    caller.join()
    select.select([worker], [], [])  # readable when it has ended
    os.close(worker)


def test_no_names_are_no_work(numbers):
    assert list(parallel_map(numbers, [], 1, lambda *_: None)) == []
