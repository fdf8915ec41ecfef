"""Locks between processes; the system releases them when their process dies."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .cache import cache_root

_POLL_SECONDS = 0.2


@contextmanager
def exclusive_lock(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a lock file, which stays behind empty; `waiting` is called while another process holds it.

    Raises:
        OSError: The file or its folder cannot be made, or it is no lock file.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_foreign_lock(path)
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
    """Return whether another process holds a lock file; False for one that this process may not write, and no lock."""
    if not path.exists():
        return False
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        refuse_foreign_lock(path)
        lock.acquire(timeout=0)
    except OSError as error:  # includes Timeout
        return isinstance(error, Timeout)
    lock.release()
    return False


def refuse_foreign_lock(path: Path) -> None:
    """Raise OSError if a lock file exists that is a link or holds something: to lock a file is to empty it."""
    with suppress(FileNotFoundError):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size:
            raise OSError(errno.EINVAL, "is no lock file of facegan, but a link or another file; remove it", str(path))


def lock_file(target: Path) -> Path:
    """Return the lock file, in the cache, of a folder that one process at a time may write."""
    return cache_root() / "locks" / f"{hashlib.sha256(os.fsencode(target.absolute())).hexdigest()[:32]}.lock"
