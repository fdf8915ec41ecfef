"""Freeing the disk of what a run needs no more: never its newest whole snapshot and state, nor its best snapshot."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..errors import SnapshotError
from .best_snapshot import best
from .run_dir import RunDir
from .run_files import KINDS, Check, Kind, Leftover, StoredFile, leftovers, stored
from .run_status import known_config


class Cleaning(BaseModel):
    """What can go from a run, and what stays although it is not among the newest."""

    model_config = ConfigDict(frozen=True)

    path: Path
    passed_over: str | None = None  # why nothing is removed here
    files: list[Leftover] = []
    damaged: list[Path] = []  # under their own names: left to 'facegan resume', which puts them aside
    kept_for_good: int = 0  # multiples of output.keep_snapshots_every and output.keep_states_every, the best snapshot

    @property
    def size_bytes(self) -> int:
        """What it frees."""
        return sum(file.size_bytes for file in self.files)


def plan_cleaning(run: RunDir, keep: Mapping[Kind, int], check: Check) -> Cleaning:
    """What can go from a run; removes nothing.

    Args:
        run: Its folder.
        keep: How many whole files of each kind stay, the newest; at least 1.
        check: What tells why a file is not whole. Nothing goes that is not older than the `keep` newest whole ones.
    """
    if run.is_running():
        return Cleaning(path=run.path, passed_over="another process is writing this run")
    return _plan(run, keep, check)


def clean(run: RunDir, plan: Cleaning, keep: Mapping[Kind, int], check: Check) -> None:
    """Remove what `plan_cleaning` with the same arguments found, if that is still so.

    Raises:
        SnapshotError: The run has changed since, or another process is writing it; nothing was removed.
        OSError: A file cannot be removed; those before it are gone.
    """
    with run.lock():
        if _plan(run, keep, check) != plan:
            raise SnapshotError(f"{run.path}: has changed in the meantime, and nothing was removed there; look again")
        for file in plan.files:
            file.path.unlink(missing_ok=True)


def _plan(run: RunDir, keep: Mapping[Kind, int], check: Check) -> Cleaning:
    config, problem = known_config(run)
    if config is None:  # it may ask for files to be kept for good
        return Cleaning(path=run.path, passed_over=problem)
    files, damaged, for_good = leftovers(run), list[Path](), 0
    output, found = config.output.model_dump(), best(run, config.evaluation)
    for kind in KINDS:
        older, bad = _older(run, kind, keep[kind], check)
        damaged += bad
        every = output.get(f"keep_{kind}_every", 0)
        for file in older:
            if (every and file.step % every == 0) or (found and file.path == found.path):
                for_good += 1
            else:
                files.append(Leftover(path=file.path, size_bytes=file.size_bytes, why=f"an older {kind[:-1]}"))
    return Cleaning(path=run.path, files=files, damaged=damaged, kept_for_good=for_good)


def _older(run: RunDir, kind: Kind, count: int, check: Check) -> tuple[list[StoredFile], list[Path]]:
    """The files that are older than the `count` newest whole ones, and the damaged ones among those that are not."""
    older, damaged, num_whole = list[StoredFile](), list[Path](), 0
    if len(run.steps(kind)) <= count:  # none can go, and to check them may mean to read them
        return older, damaged
    for file in stored(run, kind, lambda _: None):
        if num_whole == count:
            older.append(file)
        elif check(file.path) is None:
            num_whole += 1
        else:
            damaged.append(file.path)
    return older, damaged
