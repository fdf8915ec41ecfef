"""A run of facegan's own training inside this process, timed from a given step on, with all that a run does."""

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import bound
import jittered
from sides import EQUAL_WRITING

from facegan.config import resolve
from facegan.devices import resolve_device
from facegan.storage.run_dir import RunDir
from facegan.training.trainer import train


@dataclass(frozen=True)
class Lap:
    """Consecutive steps, and the seconds until the device had finished them."""

    steps: int
    seconds: float

    @property
    def milliseconds(self) -> float:
        """Milliseconds per step."""
        return 1e3 * self.seconds / self.steps


def lap(
    settings: Iterable[str], data: Path | str, *, warm: int, enough: Callable[[int, float], bool],
    begin: Callable[[], None] = lambda: None, end: Callable[[], None] = lambda: None,
) -> Lap:  # fmt: skip
    """Train in a temporary folder, and stop when enough steps have run.

    Args:
        settings: Settings of the run.
        data: Source of the images.
        warm: Warm-up steps before the clock starts, at least 1.
        enough: Called after each step with the steps and seconds since then; True ends the lap.
        begin: Called when the clock starts.
        end: Called when the clock stops.

    Raises:
        TrainingError: For example, the memory is full.
    """
    config = resolve(settings=[*EQUAL_WRITING, *settings, f"data.source={data}", "train.steps=1000000"])
    device = resolve_device(config.train.device)
    count, started, found = 0, 0.0, Lap(0, 0.0)

    def stop() -> bool:
        nonlocal count, started, found
        count += 1
        if count == warm:
            bound.wait(device)
            begin()
            started = time.perf_counter()
        elif count > warm and enough(count - warm, time.perf_counter() - started):
            bound.wait(device)
            found = Lap(count - warm, time.perf_counter() - started)
            end()
            return True
        return False

    with tempfile.TemporaryDirectory() as folder:
        train(config, RunDir(Path(folder) / "run"), stop=stop)
    return found


def packed_faces(folder: Path, size: int, num: int = 2048) -> Path:
    """Return a packed folder of drawn faces of this size; it is made once."""
    path = folder / str(size)
    return path if path.exists() else jittered.packed_folder(path, num, resolution=size, distinct=512)
