"""The snapshots and states of a run: what they take, and whether each is whole."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .atomic import is_temporary
from .run_dir import DAMAGED, RunDir
from .safetensors_file import header_problem

Kind = Literal["snapshots", "states"]
KINDS: tuple[Kind, ...] = ("snapshots", "states")
Check = Callable[[Path], str | None]  # why a file is not whole, or None


class Leftover(BaseModel):
    """A file that can go, and why."""

    model_config = ConfigDict(frozen=True)

    path: Path
    size_bytes: int
    why: str


class StoredFile(BaseModel):
    """A snapshot or a state; `problem` is why it is not whole, None when it is."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    step: int
    path: Path
    size_bytes: int
    problem: str | None


def stored(run: RunDir, kind: Kind, check: Check = header_problem) -> Iterator[StoredFile]:
    """The files of a kind, the newest first, each checked when it is asked for."""
    path_of = run.snapshot if kind == "snapshots" else run.state
    for step in reversed(run.steps(kind)):
        path = path_of(step)
        try:
            size_bytes = path.stat().st_size
        except FileNotFoundError:  # a run that goes on has removed it meanwhile
            continue
        yield StoredFile(kind=kind, step=step, path=path, size_bytes=size_bytes, problem=check(path))


def leftovers(run: RunDir) -> list[Leftover]:
    """What killed writers left, and the damaged files that a resume put aside."""
    found = []
    for folder in (run.path, run.path / "samples", *(run.path / kind for kind in KINDS)):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if is_temporary(path):
                why = "left by a writer that was killed"
            elif path.name.endswith(f".safetensors{DAMAGED}"):
                why = "damaged, and put aside"
            else:
                continue
            found.append(Leftover(path=path, size_bytes=path.lstat().st_size, why=why))
    return found
