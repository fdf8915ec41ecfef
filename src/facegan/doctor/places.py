"""Where facegan writes: room, speed, and whether it may."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

from .check import Check, in_one_line, shortened

CHUNK_BYTES = 4 * 2**20
MOST_BYTES = 32 * 2**20
MOST_SECONDS = 2.0


def look_at_disk(needed_bytes: int) -> list[Check]:
    """Room in the current folder and in ./runs, and how fast the one that runs go to is written.

    Args:
        needed_bytes: What a run of the default settings keeps; 0: not known.
    """
    runs = Path("runs")
    if not runs.exists():
        return [_room("current folder", Path(), needed_bytes, written=True)]
    return [
        _room("current folder", Path(), 0, written=False),
        _room("runs", runs, needed_bytes, written=True),
    ]


def look_at_cache() -> list[Check]:
    """The cache of packed images and datasets: its place, size, room, and whether it can be written."""
    from ..downloads import cache_root

    root = cache_root()
    facts: dict[str, Any] = {"path": str(root)}
    try:
        sizes = {path.name: _size_bytes(path) for path in sorted(root.iterdir())} if root.is_dir() else {}
        above = _nearest(root)
        free_bytes = shutil.disk_usage(above).free
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        found = f"{shortened(str(root))} cannot be written ({error.strerror or in_one_line(error)})"
        mend = "set the environment variable FACEGAN_CACHE to a folder that can"
        return [Check("cache", found, status="wrong", mend=mend, facts=facts | {"writable": False})]
    total = sum(sizes.values())
    facts |= {"size_bytes": total, "sizes_bytes": sizes, "free_bytes": free_bytes, "writable": True}
    parts = ", ".join(f"{name} {_in_words(size)}" for name, size in sizes.items() if size)
    holds = f"holds {_in_words(total)} ({parts})" if total else "empty"
    found = f"{shortened(str(root))}: {holds}; {_in_words(free_bytes)} free, can be written"
    return [Check("cache", found, facts=facts)]


def bytes_per_second(folder: Path) -> float:
    """How fast a folder is written, until the disk has it: 32 MiB at most, and about two seconds.

    The file has no name where the system can do without, and one that goes with the process elsewhere, so nothing is
    left whatever stops this.

    Raises:
        OSError: It cannot be written.
    """
    chunk, done = os.urandom(CHUNK_BYTES), 0  # random, since some file systems compress
    started = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        while done < MOST_BYTES and (not done or time.perf_counter() - started < MOST_SECONDS):
            done += file.write(chunk)
            os.fsync(file.fileno())
        return done / (time.perf_counter() - started)


def _room(name: str, folder: Path, needed_bytes: int, *, written: bool) -> Check:
    usage = shutil.disk_usage(folder)
    found = f"{_in_words(usage.free)} free of {_in_words(usage.total)}"
    facts = {"free_bytes": usage.free, "total_bytes": usage.total}
    if written:
        try:
            speed = bytes_per_second(folder)
        except OSError as error:
            found += f"; cannot be written ({error.strerror or in_one_line(error)})"
            return Check(name, found, status="wrong", mend="go to a folder that can, or give train --run", facts=facts)
        found += f"; written at {speed / 1e6:,.0f} MB/s"
        facts["write_bytes_per_second"] = round(speed)
    if usage.free < needed_bytes:
        found += f"; a run of the default settings keeps {_in_words(needed_bytes)}"
        mend = "free some, or give train --run on another disk"
        return Check(name, found, status="wrong", mend=mend, facts=facts)
    return Check(name, found, facts=facts)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _size_bytes(path: Path) -> int:
    """What a file, or all files below a folder, hold; one that goes in the meantime counts nothing."""
    size = 0
    for file in path.rglob("*") if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            about = file.lstat()
            size += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return size


def _in_words(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:,.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.0f} MB"
