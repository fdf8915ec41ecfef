"""Grids as small images inside of a page."""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from ..errors import SnapshotError
from ..images import read_grid
from ..storage.run_dir import RunDir
from ..storage.run_log import evenly

MOST_GRIDS = 60
MOST_BYTES = 7_000_000  # of all grids as they stand in the page
MOST_SIDE = 1_100  # pixels; larger grids are made smaller

Progress = Callable[[int, int], None]


def embedded(path: Path) -> str:
    """A grid as a WebP in a `data:` address.

    Raises:
        SnapshotError: It is no sound image, or cannot be read.
    """
    grid = read_grid(path)
    grid.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    grid.save(buffer, "WEBP", quality=85, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def embedded_grids(run: RunDir, steps: Sequence[int], progress: Progress | None) -> tuple[dict[int, str], list[str]]:
    """The grids of a run, as many as a page can hold, evenly chosen: by step, as `embedded`.

    Returns:
        The grids, and the names of those that cannot be read.
    """
    found: dict[int, str] = {}
    damaged = []
    chosen = evenly(steps, MOST_GRIDS)
    for done, step in enumerate(chosen, 1):
        path = run.sample(step)
        try:
            found[step] = embedded(path)
        except SnapshotError:
            damaged.append(path.name)
        if progress is not None:
            progress(done, len(chosen))
    while len(found) > 1 and sum(map(len, found.values())) > MOST_BYTES:
        found = {step: found[step] for step in evenly(list(found), len(found) - 1 - len(found) // 8)}
    return found, damaged
