"""A run folder: where everything of a run lies, and how files get there whole."""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SnapshotError
from .plugins import nearest

STEP_FILE = re.compile(r"step-(\d{8,})\.\w+")


def write_atomic(path: Path, content: bytes | Callable[[Path], None]) -> None:
    """Write a file whole or not at all: a temporary file beside it, fsync, rename, fsync of the folder.

    Args:
        path: The final name; its folder exists.
        content: The bytes, or a function that writes the file at the path it is given.

    Raises:
        OSError: The file could not be written; what stood at `path` before still stands.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(temporary)
            file.flush()
        put_in_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a complete temporary file its final name in the same file system: fsync, rename, fsync of the folder.

    Raises:
        OSError: It could not be done; what stood at `path` before still stands.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.chmod(0o666 & ~_umask())
    temporary.replace(path)
    if os.name == "posix":  # other systems cannot open a folder to flush it
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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

    def refuse_existing(self) -> None:
        """Refuse a folder that holds something already.

        Raises:
            SnapshotError: It does, or it is a file.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise SnapshotError(
                f"{self.path}: exists already; choose another --run, continue it with 'facegan resume', "
                "or start anew with --force (it is kept under another name)"
            )

    def create(self, config: str, environment: Mapping[str, Any]) -> None:
        """Make the folder and write what it was started with; raises as `refuse_existing`."""
        self.refuse_existing()
        for folder in ("samples", "snapshots", "states"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        write_atomic(self.config, config.encode())
        write_atomic(self.environment, (json.dumps(environment, indent=2) + "\n").encode())

    def move_aside(self) -> Path | None:
        """Give an existing folder another name, so that a new run can take this one; None when there was none."""
        if not self.path.exists():
            return None
        if not self.config.is_file() and (not self.path.is_dir() or any(self.path.iterdir())):
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

    def keep_newest(self, kind: str, count: int) -> None:
        """Remove all but the `count` newest files of a kind."""
        files = self._files(kind)
        for step in sorted(files)[:-count]:
            files[step].unlink(missing_ok=True)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that a crash left half-written is passed over."""
        if not self.metrics.exists():
            return
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                return

    def cut_metrics(self, step: int, tick_every: int) -> None:
        """Drop what metrics.jsonl says of steps after `step`, and of an end between two ticks."""
        if self.metrics.exists():
            records = [each for each in self.read_metrics() if each["step"] <= step and each["step"] % tick_every == 0]
            kept = [json.dumps(record) + "\n" for record in records]
            write_atomic(self.metrics, "".join(kept).encode())

    def _files(self, kind: str) -> dict[int, Path]:
        folder = self.path / kind
        if not folder.is_dir():
            return {}
        matches = ((STEP_FILE.fullmatch(path.name), path) for path in folder.iterdir())
        return {int(match[1]): path for match, path in matches if match}


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


def next_free(root: Path, stem: str) -> RunDir:
    """The run folder `root/stem-NUMBER` of the first number that is free."""
    number = 1
    while (path := root / f"{stem}-{number}").exists():
        number += 1
    return RunDir(path)


def _last_written(config: Path) -> float:
    folder = config.parent
    return max(path.stat().st_mtime for path in (config, *folder.glob("metrics.jsonl"), *folder.glob("snapshots/*")))


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
