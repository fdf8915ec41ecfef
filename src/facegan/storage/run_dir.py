"""A run folder: where everything of a run lies, and who may write there."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SnapshotError
from ..messages import nearest
from .atomic import append_lines, as_json, is_temporary, sweep, write_atomic
from .locks import is_locked

STEP_FILE = re.compile(r"step-(\d{8,})\.\w+")
DAMAGED = ".damaged"  # the ending that a file gets when its bytes are found not to be those that were written
MOST_STEPS = 10**12  # more than any run has

_KINDS = ("samples", "snapshots", "states")
_LOCK = ".lock"
_LOCK_SECONDS = 1.0  # long enough for whoever only looks whether the lock is taken


@dataclass(frozen=True)
class RunDir:
    """The layout of a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The complete configuration, itself a valid `--config`."""
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        """What it was started on and with: metadata, nothing that a run depends on."""
        return self.path / "environment.json"

    @property
    def evaluations(self) -> Path:
        """A line of JSON for each metric of each evaluation."""
        return self.path / "evaluations.jsonl"

    @property
    def log(self) -> Path:
        """What the console said."""
        return self.path / "log.txt"

    @property
    def metrics(self) -> Path:
        """A line of JSON a tick."""
        return self.path / "metrics.jsonl"

    def sample(self, step: int) -> Path:
        """The grid of the fixed latents at a step."""
        return self.path / "samples" / f"step-{step:08d}.png"

    def snapshot(self, step: int) -> Path:
        """The networks at a step, to use."""
        return self.path / "snapshots" / f"step-{step:08d}.safetensors"

    def state(self, step: int) -> Path:
        """Everything at a step, to resume."""
        return self.path / "states" / f"step-{step:08d}.safetensors"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one process that writes this run; the system takes the right back from a process that dies.

        The folder is made if need be, and taken away again if nothing came of it.

        Raises:
            SnapshotError: Another process has the right.
            OSError: The folder cannot be made or written.
        """
        from filelock import FileLock, Timeout

        stood = next((each for each in (self.path, *self.path.parents) if each.exists()), None)
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / _LOCK, is_singleton=True)  # whoever has it may take it once more
        inner = lock.is_locked
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise self._taken() from None
        except OSError as error:
            error.filename = str(self.path)
            raise
        try:
            yield
        finally:
            if not inner:
                with suppress(OSError):
                    self._remove_if_empty(stood)
            lock.release()

    def is_running(self) -> bool:
        """Whether a process is writing this run just now."""
        return is_locked(self.path / _LOCK)

    def refuse_running(self) -> None:
        """Refuse a run that another process is writing.

        Raises:
            SnapshotError: One is.
        """
        if self.is_running():
            raise self._taken()

    def refuse_existing(self) -> None:
        """Refuse a folder that holds something already.

        Raises:
            SnapshotError: It does, or it is a file.
        """
        if self.path.exists() and (not self.path.is_dir() or self._holds_something()):
            raise SnapshotError(
                f"{self.path}: exists already; choose another --run, continue it with 'facegan resume', "
                "or start anew with --force (it is kept under another name)"
            )

    def create(self, config: str, environment: Mapping[str, Any]) -> None:
        """Make the folder and write what it was started with; raises as `refuse_existing`."""
        self.refuse_existing()
        for folder in _KINDS:
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        write_atomic(self.config, config.encode())
        write_atomic(self.environment, as_json(environment))

    def move_aside(self) -> Path | None:
        """Give an existing folder another name, so that a new run can take this one; None when there was none."""
        if not self.path.exists():
            return None
        self.refuse_running()
        if not self.config.is_file() and (not self.path.is_dir() or self._holds_something()):
            raise SnapshotError(f"{self.path}: is not a run, and --force replaces nothing else; choose another --run")
        path, number = self.path if self.path.name else self.path.absolute(), 1
        while (aside := path.with_name(f"{path.name}.replaced-{number}")).exists():
            number += 1
        return path.rename(aside)

    def steps(self, kind: str) -> list[int]:
        """The steps at which a file of `kind` ("samples", "snapshots" or "states") stands, ascending."""
        return sorted(self._files(kind))

    def latest(self, kind: str) -> Path | None:
        """The file of the highest step of a kind, or None."""
        files = self._files(kind)
        return files[max(files)] if files else None

    def keep(self, kind: str, newest: int, every: int = 0, spare: Collection[int] = ()) -> None:
        """Remove all files of a kind but the `newest` ones, those at multiples of `every` (0: none), and at `spare`.

        One that cannot be removed, because a program has it open, stays until the next time.
        """
        files = self._files(kind)
        for step in sorted(files)[:-newest]:
            if step not in spare and (not every or step % every):
                with suppress(OSError):
                    files[step].unlink()

    def put_aside(self, path: Path) -> Path:
        """Give a damaged file a name under which it is no longer taken for a result; returns that name."""
        return path.replace(path.with_name(path.name + DAMAGED))

    def sweep(self) -> None:
        """Remove the temporary files of writers that were killed; only for who holds the lock."""
        for folder in (self.path, *(self.path / kind for kind in _KINDS)):
            sweep(folder)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl, whole or not at all.

        Raises:
            OSError: It cannot be written; the lines before it stand.
        """
        append_lines(self.metrics, json.dumps(record).encode() + b"\n")

    def sync_metrics(self) -> None:
        """Bring the lines written so far to the disk, as a state is that counts on them."""
        with self.metrics.open("ab") as file:
            os.fsync(file.fileno())

    def read_metrics(self, read: Callable[[Path], bytes] = Path.read_bytes) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl, as `read` reads it; what is none, as a crash may leave it, is passed over."""
        for line in read(self.metrics).splitlines() if self.metrics.exists() else ():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and _is_sound(record):
                yield record

    def cut_metrics(self, step: int, *, inside_tick: bool) -> None:
        """Drop what metrics.jsonl says of steps after `step`, and of `step` itself if it lies between two ticks.

        Raises:
            OSError: The file cannot be written; it is as it was.
        """
        if self.metrics.exists():
            records = [each for each in self.read_metrics() if each["step"] < step + (not inside_tick)]
            kept = [json.dumps(record) + "\n" for record in records]
            write_atomic(self.metrics, "".join(kept).encode())

    def _taken(self) -> SnapshotError:
        return SnapshotError(f"{self.path}: another facegan process is writing this run; wait until it ends, or end it")

    def _remove_if_empty(self, stood: Path | None) -> None:
        """Take away a folder in which nothing came to be, and those above it up to `stood`, which was there before."""
        if not self._holds_something():
            (self.path / _LOCK).unlink()
            for folder in (self.path, *self.path.parents):
                if folder == stood:
                    break
                folder.rmdir()

    def _holds_something(self) -> bool:
        """Whether there is more than what a process leaves that is killed before it has made the run."""
        return any(
            not (entry.name == _LOCK or is_temporary(entry) or (entry.name in _KINDS and not any(entry.iterdir())))
            for entry in self.path.iterdir()
        )

    def _files(self, kind: str) -> dict[int, Path]:
        folder = self.path / kind
        if not folder.is_dir():
            return {}
        matches = ((STEP_FILE.fullmatch(path.name), path) for path in folder.iterdir())
        return {int(match[1]): path for match, path in matches if match}


def _is_sound(record: Mapping[str, Any]) -> bool:
    """Whether a line of metrics tells of a step in numbers, but for the word that says how the run stands."""
    if type(step := record.get("step")) is not int or not 0 <= step <= MOST_STEPS:
        return False
    return all(isinstance(value, int | float | None) for key, value in record.items() if key != "health")


def find_run(name: str | Path | None, root: Path = Path("runs")) -> RunDir:
    """The run that a person means: a path, then a name under `root`; None is the latest one there.

    Raises:
        SnapshotError: There is no such run; the nearest names are given.
    """
    known = sorted(root.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if name is None:
        if not known:
            raise SnapshotError(
                f"{root}/: there is no run here; start one with 'facegan train', or name a run's folder"
            )
        return RunDir(max(known, key=_last_written).parent)
    for path in (Path(name), root / name):
        if (path / "config.json").is_file():
            return RunDir(path)
    if Path(name).exists():
        raise SnapshotError(f"{name}: not a run folder (it holds no config.json)")
    names = [path.parent.name for path in known]
    raise SnapshotError(f"{name}: no such run, neither as a path nor in {root}/; {nearest(str(name), names)}")


@contextmanager
def next_free(root: Path, stem: str) -> Iterator[RunDir]:
    """The run folder `root/stem-NUMBER` of the first number that is free, with its lock: nobody else is given it."""
    number = 1
    while True:
        run = RunDir(root / f"{stem}-{number}")
        number += 1
        with ExitStack() as stack:
            try:
                run.refuse_existing()
                run.refuse_running()
                stack.enter_context(run.lock())
                run.refuse_existing()
            except SnapshotError:
                continue
            yield run
            return


def _last_written(config: Path) -> float:
    folder = config.parent
    return max(path.stat().st_mtime for path in (config, *folder.glob("metrics.jsonl"), *folder.glob("snapshots/*")))
