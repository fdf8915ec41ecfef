"""Work on the pictures of a source with all cores, in the order of their delivery and in constant memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from .pictures import Delivered, Pictures

_CHUNK = 16  # pictures a task: few enough to hold in memory, enough that handing them over costs little
_AHEAD = 4  # tasks waiting per worker: enough to keep it busy

T = TypeVar("T")


def on_all_cores(
    pictures: Pictures, names: Sequence[str], resolution: int, work: Callable[[Delivered], T]
) -> Iterator[tuple[str, T]]:
    """Yield (name, work(content)) for each of these pictures, in the order of delivery.

    Decoding and resizing run beside each other in threads. A source that has a `chunk` is also read in them, that many
    names at a time; any other is read once, from beginning to end, in the caller's thread.

    Args:
        pictures: The source.
        names: Which of its pictures.
        resolution: As `Pictures.read` takes it.
        work: Called in one of the threads; what it raises is raised here.
    """
    num_workers = os.cpu_count() or 1
    waiting: deque[Future[list[tuple[str, T]]]] = deque()
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="pictures")
    try:
        for chunk in _chunks(pictures, names, resolution):
            waiting.append(pool.submit(_work_on, chunk, work))
            while len(waiting) > num_workers * _AHEAD or (waiting and waiting[0].done()):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(pictures: Pictures, names: Sequence[str], resolution: int) -> Iterator[Iterable[tuple[str, Delivered]]]:
    """What is to be worked on, in tasks; those of a source with a `chunk` are read only when they are worked on."""
    if chunk := getattr(pictures, "chunk", 0):
        for start in range(0, len(names), chunk):
            yield pictures.read(names[start : start + chunk], resolution)
        return
    deliveries = pictures.read(names, resolution)
    while delivered := list(islice(deliveries, _CHUNK)):
        yield delivered


def _work_on(chunk: Iterable[tuple[str, Delivered]], work: Callable[[Delivered], T]) -> list[tuple[str, T]]:
    return [(name, work(content)) for name, content in chunk]
