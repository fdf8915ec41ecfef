"""Many images into a folder, encoded and written beside the work that draws them."""

import hashlib
import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from ..storage.atomic import write_atomic
from .files import write_png

_AHEAD = 256  # images that may wait to be written: they bound the memory


def write_images(pictures: Iterable[tuple[Path, np.ndarray, Mapping[str, str]]]) -> Iterator[tuple[Path, str]]:
    """Write PNGs, each whole under its final name; they can be drawn again, so none is flushed to the disk by itself.

    Args:
        pictures: (path in a folder that exists, uint8 (H, W, 3) or (H, W), what the file says of itself).

    Yields:
        (path, SHA-256 of the file in hex), in the order given.

    Raises:
        OSError: A file cannot be written; those before it stand.
    """
    waiting: deque[Future[tuple[Path, str]]] = deque()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="pictures") as pool:
        try:
            pictures = iter(pictures)
            while True:
                waiting.extend(pool.submit(_write, *each) for each in islice(pictures, _AHEAD - len(waiting)))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


def _write(path: Path, picture: np.ndarray, text: Mapping[str, str]) -> tuple[Path, str]:
    png = io.BytesIO()
    write_png(png, picture, text)
    content = png.getvalue()
    write_atomic(path, content, durable=False)
    return path, hashlib.sha256(content).hexdigest()
