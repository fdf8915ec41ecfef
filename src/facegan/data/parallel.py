"""Work on pictures with all cores, in the order of their delivery and in constant memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from .pictures import Delivered

_CHUNK = 16  # pictures a task: few enough to hold in memory, enough that handing them over costs little
_AHEAD = 4  # tasks waiting per worker: enough to keep it busy

T = TypeVar("T")


def on_all_cores(
    deliveries: Iterable[tuple[str, Delivered]], work: Callable[[Delivered], T]
) -> Iterator[tuple[str, T]]:
    """Yield (name, work(content)) for each delivered picture, in the order of delivery.

    Decoding and resizing run beside each other in threads; what is delivered is read in the caller's thread, so that a
    source need not be safe to use from several.

    Args:
        deliveries: (name, content) as `Pictures.read` yields them.
        work: Called in one of the threads; what it raises is raised here.
    """
    num_workers = os.cpu_count() or 1
    waiting: deque[Future[list[tuple[str, T]]]] = deque()
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="pictures")
    rest = iter(deliveries)
    try:
        while chunk := list(islice(rest, _CHUNK)):
            waiting.append(pool.submit(_work_on, chunk, work))
            while len(waiting) > num_workers * _AHEAD or (waiting and waiting[0].done()):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _work_on(chunk: list[tuple[str, Delivered]], work: Callable[[Delivered], T]) -> list[tuple[str, T]]:
    return [(name, work(content)) for name, content in chunk]
