"""Process the images of a source on all cores, in the order of their delivery and in constant memory."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ..errors import DataError, FaceganError
from ..reporter import Progress
from .source import Delivered, ImageSource

_CHUNK = 32  # images a task: few enough to hold in memory, enough that handing them over costs little
_AHEAD = 4  # tasks waiting per worker: enough to keep it busy
_CHUNK_BYTES = 2**23  # of files a task
_FEW = 256  # images for which no processes are started
_WATCH_SECONDS = 1.0
_ENDING = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

T = TypeVar("T")
_Task = Sequence[str] | list[tuple[str, Delivered]]  # some names, or images that are already read


def parallel_map(
    source: ImageSource,
    names: Sequence[str],
    resolution: int,
    work: Callable[[str, Delivered], T],
    *,
    progress: Progress | None = None,
) -> Iterator[tuple[str, T]]:
    """Yield (name, work(name, content)) for each of these images, in the order of delivery.

    Names that the source does not deliver come last, with a DataError as their content. What `work` returns is sent
    back from another process or thread, and what it raises is raised here.

    The work runs in forked processes where the system has them, because threads wait for Python's lock; elsewhere, and
    for few images, in threads. A source with the attribute `chunk` is read there as well, that many names at a time;
    any other is read once, from beginning to end, by the caller.

    Raises:
        FaceganError: A process died.
    """

    def run(task: _Task) -> list[tuple[str, T]]:
        images = task if isinstance(task, list) else source.read(task, resolution)
        return [(name, work(name, content)) for name, content in images]

    missing = set(names)
    for name, result in _in_parallel(run, _tasks(source, names, resolution), few=len(names) < _FEW):
        yield name, result
        missing.discard(name)
        if progress is not None:
            progress(len(names) - len(missing), len(names))
    for name in sorted(missing):
        yield name, work(name, DataError("the source did not deliver it"))


def _in_parallel(run: Callable[[_Task], list[T]], tasks: Iterator[_Task], *, few: bool) -> Iterator[T]:
    """Yield the results of all tasks, in their order; `few` are run in threads."""
    num_workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[Future[list[T]]] = deque()
    pool: Executor
    if few or sys.platform != "linux":
        pool = ThreadPoolExecutor(num_workers, thread_name_prefix="images")
    else:
        pool, run = _forked(num_workers, run), _run_adopted
    try:
        for task in tasks:
            waiting.append(pool.submit(run, task))
            while len(waiting) > num_workers * _AHEAD or (waiting and waiting[0].done()):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise FaceganError("a process that read images died; perhaps the memory was full") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _forked(num_workers: int, run: Callable[[_Task], Any]) -> Executor:
    """Return worker processes that have the function, start at once, and do not run the caller's script again.

    Locks that other threads held at the fork do not matter: these processes decode, and neither print nor compute with
    torch. Signals wait until `_adopt`: the caller's handler may raise, and between the fork and the worker's own code
    that would make the worker go on as a second caller.
    """
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(num_workers, fork, initializer=_adopt, initargs=(run, os.getpid()))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # about forking next to threads
            pool.submit(os.getpid)  # forks all of them
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pool


def _tasks(source: ImageSource, names: Sequence[str], resolution: int) -> Iterator[_Task]:
    if chunk := getattr(source, "chunk", 0):
        for start in range(0, len(names), chunk):
            yield tuple(names[start : start + chunk])
        return
    task: list[tuple[str, Delivered]] = []
    size_bytes = 0
    for name, content in source.read(names, resolution):
        task.append((name, content))
        size_bytes += len(content) if isinstance(content, bytes) else 0
        if len(task) == _CHUNK or size_bytes >= _CHUNK_BYTES:
            yield task
            task, size_bytes = [], 0
    if task:
        yield task


_adopted: Callable[[_Task], Any]  # in a worker process


def _adopt(run: Callable[[_Task], Any], caller: int) -> None:
    """Start as a worker: leave Ctrl-C to the caller, and end with the caller."""
    global _adopted
    _adopted = run
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a broken pool ends its other processes with it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    # A thread that drew a progress bar at the fork may have held the locks of the streams, which are flushed at exit.
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    threading.Thread(target=_end_with, args=(caller,), daemon=True).start()


def _end_with(caller: int) -> None:
    while os.getppid() == caller:
        time.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)  # only this process; its caller is gone


def _run_adopted(task: _Task) -> Any:
    return _adopted(task)
