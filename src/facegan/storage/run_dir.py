"""A run folder: its layout, its lock and its metrics."""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from ..errors import SnapshotError
from ..messages import local_path, nearest, printable
from .atomic import (
    append_lines,
    as_json,
    has_our_header,
    is_temporary,
    json_object,
    open_regular,
    read_regular,
    temporary_files,
    write_atomic,
)
from .locks import is_locked, refuse_foreign_lock

_STEP_FILE = re.compile(r"step-(\d{8,})\.(png|safetensors)")
DAMAGED = ".damaged"  # the suffix added to a file whose bytes are not those that were written
MAX_STEPS = 10**12  # steps or images: more than any run has
MAX_BYTES = 1 << 28  # of a file of lines: more than any run writes

_KINDS = ("samples", "snapshots", "states")
_WRITTEN = re.compile(  # the names of the files that facegan writes into a run folder
    r"step-\d{8,}\.(png|safetensors)|(real|faces|losses)\.png|(config|environment)\.json|directions\.safetensors"
    r"|(changes|evaluations|metrics)\.jsonl|model-card\.md|images\.txt"
)
_LOCK = ".lock"
_LOCK_SECONDS = 1.0  # outlasts a process that only checks whether the lock is held


class RunDir:
    """The folder of a run; nothing is read or written before a method is called."""

    def __init__(self, path: Path) -> None:
        """Name the files in the folder at `path`."""
        self.path = path
        self.config = path / "config.json"  # complete, and itself a valid `--config` file
        self.changes = path / "changes.jsonl"  # one line for each setting that a resume changed
        self.images = path / "images.txt"  # names and hashes of the training images, where they are files
        self.environment = path / "environment.json"  # the machine and versions it was started with
        self.evaluations = path / "evaluations.jsonl"  # one line for each metric of each evaluation
        self.log = path / "log.txt"  # a copy of the console output
        self.metrics = path / "metrics.jsonl"  # one line for each tick

    @property
    def name(self) -> str:
        """The name of the run in texts and images: that of its folder, unprintable characters escaped."""
        return printable(self.path.absolute().name)

    def sample(self, step: int) -> Path:
        """The grid of samples from the fixed latents at a step."""
        return self.path / "samples" / f"step-{step:08d}.png"

    def snapshot(self, step: int) -> Path:
        """The networks at a step, for use."""
        return self.path / "snapshots" / f"step-{step:08d}.safetensors"

    def state(self, step: int) -> Path:
        """The complete training state at a step, for resuming."""
        return self.path / "states" / f"step-{step:08d}.safetensors"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to write this run; the system releases it when the process dies.

        The folder is made if missing, and removed again if nothing was written into it.

        Raises:
            SnapshotError: Another process holds it, or the lock file is a link or another file.
            OSError: The folder cannot be made or written.
        """
        from filelock import FileLock, Timeout

        existing = next((each for each in (self.path, *self.path.parents) if each.exists()), None)
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / _LOCK, is_singleton=True)  # its holder may take it once more
        inner = lock.is_locked
        try:
            refuse_foreign_lock(self.path / _LOCK)
        except OSError as error:
            raise SnapshotError(f"{error.filename}: {error.strerror}") from None
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
            with suppress(OSError):
                if not inner and not self._holds_something():
                    (self.path / _LOCK).unlink()
                    for folder in takewhile(lambda each: each != existing, (self.path, *self.path.parents)):
                        folder.rmdir()
            lock.release()

    def is_running(self) -> bool:
        """Return whether a process is writing this run now."""
        return is_locked(self.path / _LOCK)

    def refuse_running(self) -> None:
        """Raise SnapshotError if another process is writing this run."""
        if self.is_running():
            raise self._taken()

    def refuse_existing(self) -> None:
        """Raise SnapshotError if the folder holds something already, or is a file."""
        if self._holds_something():
            raise SnapshotError(
                f"{self.path}: exists already; choose another --run, continue it with 'facegan resume', "
                "or start again with --force (it is kept under another name)"
            )

    def create(self, config: str, environment: Mapping[str, Any]) -> None:
        """Make the folder and write the configuration and environment; raises as `refuse_existing`."""
        self.refuse_existing()
        for folder in _KINDS:
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        self.write_config(config)
        write_atomic(self.environment, as_json(environment))

    def write_config(self, config: str) -> None:
        """Write config.json; raises OSError."""
        write_atomic(self.config, config.encode())

    def move_aside(self) -> Path | None:
        """Rename an existing folder, so that a new run can take its name; return the new name, or None."""
        if not self.path.exists():
            return None
        self.refuse_running()
        if not self.config.is_file() and self._holds_something():
            raise SnapshotError(f"{self.path}: is not a run, and --force replaces nothing else; choose another --run")
        path, number = self.path if self.path.name else self.path.absolute(), 1
        while (aside := path.with_name(f"{path.name}.replaced-{number}")).exists():
            number += 1
        return path.rename(aside)

    def steps(self, kind: str) -> list[int]:
        """Return the steps for which a file of `kind` ("samples", "snapshots" or "states") exists, ascending."""
        return sorted(self._files(kind))

    def latest(self, kind: str) -> Path | None:
        """Return the file of the highest step of a kind, or None."""
        files = self._files(kind)
        return files[max(files)] if files else None

    def keep(
        self, kind: str, newest: int, every: int = 0, *, spare: Collection[int] = (), replaced: Collection[int] = ()
    ) -> None:
        """Remove all files of a kind except the `newest` ones, those at multiples of `every` (0: none), and at `spare`.

        Those at `replaced` are not new, whatever their number. A file that is not ours stays, and one that cannot be
        removed, because a program has it open, until the next call.
        """
        files = self._files(kind)
        kept = {*sorted(files.keys() - replaced)[-newest:], *spare}
        for step in sorted(files.keys() - kept):
            if (not every or step % every) and self.may_remove(files[step]):
                with suppress(OSError):
                    files[step].unlink()

    def may_remove(self, path: Path) -> bool:
        """Return whether a snapshot or state is ours by its content, and neither it nor its folder is a link."""
        return not path.parent.is_symlink() and has_our_header(path)

    def put_aside(self, path: Path) -> Path:
        """Rename a damaged file so that it no longer counts as a result; return the new name."""
        return path.replace(path.with_name(path.name + DAMAGED))

    def sweep(self) -> None:
        """Remove the temporary files of killed writers; the caller holds the lock."""
        for path in self.temporary_files():
            path.unlink(missing_ok=True)

    def temporary_files(self) -> list[Path]:
        """Return the files that killed writers left."""
        folders = (self.path, *(self.path / kind for kind in _KINDS))
        return [path for folder in folders for path in temporary_files(folder, _WRITTEN)]

    def damaged_files(self) -> list[Path]:
        """Return the damaged files that were put aside; none through a link."""
        folders = (folder for kind in _KINDS if not (folder := self.path / kind).is_symlink())
        found = (path for folder in folders for path in sorted(folder.glob(f"step-*{DAMAGED}")))
        return [path for path in found if _STEP_FILE.fullmatch(path.stem) and path.is_file() and not path.is_symlink()]

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl, completely or not at all; raises OSError."""
        append_lines(self.metrics, json.dumps(record).encode() + b"\n")

    def sync_metrics(self) -> None:
        """Flush the lines written so far to the disk, before a state that relies on them."""
        with open_regular(self.metrics, "ab") as file:
            os.fsync(file.fileno())

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of metrics.jsonl, without invalid ones, which a crash may leave.

        Raises:
            OSError: The file exists and cannot be read, or is a link or a pipe.
        """
        for line in read_regular(self.metrics, MAX_BYTES).splitlines() if self.metrics.exists() else ():
            record = json_object(line)
            if record is not None and _is_valid(record):
                yield record

    def cut_metrics(self, step: int, *, inside_tick: bool) -> None:
        """Drop the lines of metrics.jsonl after `step`, and that of `step` itself if it is between two ticks."""
        if self.metrics.exists():
            records = [each for each in self.read_metrics() if each["step"] < step + (not inside_tick)]
            write_atomic(self.metrics, "".join(json.dumps(record) + "\n" for record in records).encode())

    def _taken(self) -> SnapshotError:
        return SnapshotError(f"{self.path}: another facegan process is writing this run; wait until it ends, or end it")

    def _holds_something(self) -> bool:
        """Return whether there is more than a process leaves that is killed before it has made the run."""
        if not self.path.is_dir():
            return self.path.exists()
        return any(
            not (
                entry.name == _LOCK
                or is_temporary(entry, _WRITTEN)
                or (entry.name in _KINDS and not any(entry.iterdir()))
            )
            for entry in self.path.iterdir()
        )

    def _files(self, kind: str) -> dict[int, Path]:
        folder = self.path / kind
        if not folder.is_dir():
            return {}
        matches = ((_STEP_FILE.fullmatch(path.name), path) for path in folder.iterdir())
        return {int(match[1]): path for match, path in matches if match}


def _is_valid(record: Mapping[str, Any]) -> bool:
    """Return whether a line of metrics has a step and otherwise numbers, except for the word of its health."""
    if type(step := record.get("step")) is not int or not 0 <= step <= MAX_STEPS:
        return False
    return all(isinstance(value, int | float | None) for key, value in record.items() if key != "health")


def find_run(name: str | Path | None, root: Path = Path("runs")) -> RunDir:
    """Return the run at a path, else the one of that name under `root`; None is the latest one there.

    Raises:
        SnapshotError: There is no such run; the message gives the nearest names.
    """
    known = sorted(root.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if name is None:
        if not known:
            raise SnapshotError(
                f"{root}/: there is no run here; start one with 'facegan train', or name a run's folder"
            )
        return RunDir(max(known, key=_last_written).parent)
    name = local_path(name)
    for path in (Path(name), root / name):
        if (path / "config.json").is_file():
            return RunDir(path)
    if Path(name).exists():
        raise SnapshotError(f"{name}: not a run folder (it holds no config.json)")
    names = [path.parent.name for path in known]
    raise SnapshotError(f"{name}: no such run, neither as a path nor in {root}/; {nearest(str(name), names)}")


@contextmanager
def next_free(root: Path, stem: str) -> Iterator[RunDir]:
    """Hold the lock of the run folder `root/stem-NUMBER` with the first number that no run has."""
    for number in count(1):
        run = RunDir(root / f"{stem}-{number}")
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
