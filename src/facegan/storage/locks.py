"""Locks between processes; the system releases them when their process dies."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .cache import cache_root

_POLL_SECONDS = 0.2


@contextmanager
def exclusive_lock(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a lock file, which stays behind empty; `waiting` is called while another process holds it.

    Raises:
        OSError: The file or its folder cannot be made.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_POLL_SECONDS)
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether another process holds a lock file; False for one that this process may not write."""
    if not path.exists():
        return False
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except OSError as error:  # includes Timeout
        return isinstance(error, Timeout)
    lock.release()
    return False


def lock_file(target: Path) -> Path:
    """Return the lock file, in the cache, of a folder that one process at a time may write."""
    return cache_root() / "locks" / f"{hashlib.sha256(os.fsencode(target.absolute())).hexdigest()[:32]}.lock"
