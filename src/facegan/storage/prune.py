"""Free the disk of a run's older files, but never of its newest valid snapshot and state, nor its best snapshot."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from ..errors import SnapshotError
from .best_snapshot import best_snapshot
from .run_dir import RunDir
from .run_status import KINDS, Check, Kind, Leftover, leftovers, read_run_config, stored_files


class PrunePlan(BaseModel, frozen=True):
    """The files of a run that can be removed, and the older ones that stay."""

    path: Path
    passed_over: str | None = None  # why nothing is removed here
    files: list[Leftover] = []
    damaged: list[Path] = []  # under their own names: left to 'facegan resume', which puts them aside
    kept_for_good: int = 0  # multiples of output.keep_snapshots_every and output.keep_states_every, the best snapshot

    @property
    def size_bytes(self) -> int:
        """The bytes it frees."""
        return sum(file.size_bytes for file in self.files)


def plan_prune(run: RunDir, keep: Mapping[Kind, int], check: Check) -> PrunePlan:
    """Return which files of a run can be removed; removes nothing.

    Args:
        run: Its folder.
        keep: How many valid files of each kind stay, the newest; at least 1.
        check: Returns why a file is damaged, or None. Only files older than the `keep` newest valid ones are removed.
    """
    if run.is_running():
        return PrunePlan(path=run.path, passed_over="another process is writing this run")
    return _plan(run, keep, check)


def prune_run(run: RunDir, plan: PrunePlan, keep: Mapping[Kind, int], check: Check) -> None:
    """Remove the files that `plan_prune` with the same arguments found, if it still finds the same.

    Raises:
        SnapshotError: The run has changed since, or another process is writing it; nothing was removed.
        OSError: A file cannot be removed; those before it are gone.
    """
    with run.lock():
        if _plan(run, keep, check) != plan:
            raise SnapshotError(f"{run.path}: has changed in the meantime, and nothing was removed there; look again")
        for file in plan.files:
            file.path.unlink(missing_ok=True)


def _plan(run: RunDir, keep: Mapping[Kind, int], check: Check) -> PrunePlan:
    config, problem = read_run_config(run)
    if config is None:  # it may ask for files to be kept for good
        return PrunePlan(path=run.path, passed_over=problem)
    files, damaged, kept_for_good = leftovers(run), list[Path](), 0
    output, best = config.output.model_dump(), best_snapshot(run, config.evaluation)
    for kind in KINDS:
        every, num_valid = output[f"keep_{kind}_every"], 0
        if len(run.steps(kind)) <= keep[kind]:  # none can go, and checking may mean reading them
            continue
        for file in stored_files(run, kind, lambda _: None):
            if num_valid < keep[kind]:
                problem = check(file.path)
                num_valid += problem is None
                damaged += [file.path] if problem else []
            elif (every and file.step % every == 0) or (best and file.path == best.path):
                kept_for_good += 1
            elif run.may_remove(file.path):
                files.append(Leftover(path=file.path, size_bytes=file.size_bytes, why=f"an older {kind[:-1]}"))
    return PrunePlan(path=run.path, files=files, damaged=damaged, kept_for_good=kept_for_good)
