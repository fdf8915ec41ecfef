import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from facegan.data.parallel import parallel_map
from facegan.errors import FaceganError

FEW, MANY = ([str(number) for number in range(count)] for count in (100, 1000))  # in threads, in processes
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


def places(source, names):
    """(pid, thread) of the reading and of the working, each image."""
    work = parallel_map(source, names, 1, lambda _, read: (read[1:], (os.getpid(), threading.get_ident())))
    return [place for _, place in work]


@pytest.mark.parametrize("names", [FEW, MANY])
def test_results_come_in_the_order_of_delivery_whatever_finishes_first(numbers, names):
    def work(name, read):
        time.sleep(0.001 * (int(name) % 3))
        return name, read[0] ** 2

    assert list(parallel_map(numbers, names, 2, work)) == [(name, (name, 4 * int(name) ** 2)) for name in names]


@pytest.mark.parametrize("names", [FEW, MANY])
def test_waiting_images_are_few_however_many_there_are(names):
    """Constant memory: the source is never read far ahead of what has been taken."""
    numbers = Numbers()
    for name, _ in parallel_map(numbers, names, 1, lambda *_: None):
        numbers.done.append(name)
    assert len(numbers.done) == len(names) and max(numbers.ahead) <= 32 * ((os.cpu_count() or 1) * 4 + 2)


def test_few_images_are_worked_on_in_threads(numbers):
    here = os.getpid(), threading.get_ident()
    assert all(pid == here[0] and (pid, thread) != here for _, (pid, thread) in places(numbers, FEW))


@linux
def test_many_images_are_worked_on_in_other_processes(numbers):
    assert all(pid != os.getpid() for _, (pid, _) in places(numbers, MANY))


@linux
@pytest.mark.parametrize("names", [FEW, MANY])
def test_only_a_source_with_chunks_is_read_where_the_work_is_done(names):
    here = os.getpid(), threading.get_ident()
    plain, chunked = Numbers(), ChunkedNumbers()
    assert {read for read, _ in places(plain, names)} == {here} and plain.calls == [len(names)]
    assert all(read == worked for read, worked in places(chunked, names))
    if names is FEW:
        assert sorted(chunked.calls) == [2, *[7] * 14]


@pytest.mark.parametrize("names", [FEW, MANY])
def test_what_the_work_raises_is_raised_here(numbers, names):
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(numbers, names, 1, lambda _, read: 1 / read[0]))


@linux
def test_death_of_a_process_is_one_line(numbers):
    with pytest.raises(FaceganError) as caught:
        list(parallel_map(numbers, MANY, 1, lambda name, _: os._exit(9) if name == "500" else None))
    assert str(caught.value) == "a process that read images died; perhaps the memory was full"


@linux
def test_death_of_an_idle_process_does_not_hang():
    """The one that works on is told to end, and does, though another died with a lock in its hands."""
    code = """
import os, signal, sys, time
from facegan.data.parallel import parallel_map

class Numbers:
    def read(self, names, resolution):
        for name in names:
            if name == "500":  # nothing is handed out meanwhile
                time.sleep(0.5)
                for line in os.popen(f"ps -o pid= --ppid {os.getpid()}").read().split()[:1]:
                    os.kill(int(line), signal.SIGKILL) if int(line) != os.getpid() else None
                time.sleep(0.5)
            yield name, name

try:
    list(parallel_map(Numbers(), [str(n) for n in range(1000)], 1, lambda name, content: name))
except Exception as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert said.stdout == "a process that read images died; perhaps the memory was full\n", said.stderr


@linux
def test_processes_end_with_their_caller():
    code = """
import os, time
from facegan.data.parallel import parallel_map

class Numbers:
    chunk = 1
    def read(self, names, resolution):
        yield names[0], os.getpid()

def work(name, pid):
    time.sleep(0.02)
    return pid

for name, pid in parallel_map(Numbers(), [str(n) for n in range(10_000)], 1, work):
    print(pid, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as caller:
        workers = {int(caller.stdout.readline()) for _ in range(20)}
        caller.send_signal(signal.SIGKILL)
    end = time.monotonic() + 600
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):  # noqa: PTH110
        assert time.monotonic() < end
        time.sleep(0.1)


def test_no_names_are_no_work(numbers):
    assert list(parallel_map(numbers, [], 1, lambda *_: None)) == []
