"""The status of runs: running, finished, stopped, failed, damaged or empty, how far they are, and their files."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from ..config import RunConfig, read_file, validate
from ..errors import ConfigError
from ..messages import printable
from .atomic import read_regular, size_of
from .run_dir import MAX_STEPS, RunDir
from .run_log import FAILED, NOT_FINITE, finite_number, health_of, is_finite, last_line, last_record
from .safetensors_file import header_problem

Kind = Literal["snapshots", "states"]
KINDS: tuple[Kind, ...] = ("snapshots", "states")
Check = Callable[[Path], str | None]  # returns why a file is damaged, or None

MAX_SETTINGS = 1 << 20  # bytes of config.json or environment.json: far more than is ever written

_PARTS = ("config.json", "environment.json", "metrics.jsonl", "snapshots", "states")  # any of them marks a run


class StoredFile(BaseModel, frozen=True):
    """A snapshot or a state; `problem` is why it is damaged, or None."""

    kind: Kind
    step: int
    path: Path
    size_bytes: int
    problem: str | None


class Leftover(BaseModel, frozen=True):
    """A file that can be removed, and why."""

    path: Path
    size_bytes: int
    why: str


class RunStatus(BaseModel, frozen=True):
    """A run in short; unknown values are None."""

    name: str
    path: Path
    standing: Literal["running", "finished", "stopped", "failed", "damaged", "empty"]
    reason: str | None  # why it is not in order; None for a run that goes on, is finished or was stopped cleanly
    step: int | None  # the last known one
    num_steps: int | None  # of the complete run
    share: float | None  # of the steps that are done, 0 to 1
    num_images: int | None
    epoch: float | None
    kimg: float | None
    data: str | None  # the last part of the source's path
    architecture: str | None
    resolution: int | None
    active: datetime  # when it was last written
    size_bytes: int
    health: str | None  # of the last tick
    state: int | None  # the step of the newest valid state
    snapshot: int | None  # the step of the newest valid snapshot


def list_runs(root: Path) -> tuple[list[RunStatus], list[str]]:
    """Return every run in a folder, the last active first, and the names of the folders there that are no runs."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    ours = [path for path in folders if is_run(path)]
    foreign = [printable(path.name) for path in folders if path not in ours]
    return sorted((run_status(RunDir(path)) for path in ours), key=lambda run: run.active, reverse=True), foreign


def run_status(run: RunDir) -> RunStatus:
    """Return the status of a run, even if its folder is damaged."""
    try:
        return _status(run)
    except OSError as error:
        unknown: dict[str, Any] = dict.fromkeys(RunStatus.model_fields)
        reason = f"{error.filename or run.path}: cannot be read ({error.strerror or error})"
        active = datetime.fromtimestamp(run.path.stat().st_mtime, UTC)
        known = {"name": run.name, "path": run.path, "active": active, "size_bytes": 0}
        return RunStatus(**unknown | known | {"standing": "damaged", "reason": reason})


def read_run_config(run: RunDir) -> tuple[RunConfig | None, str | None]:
    """Return the configuration of a run, or why it cannot be read; sections of plugins stay unchecked."""
    try:
        return validate(read_file(run.config, lambda path: read_regular(path, MAX_SETTINGS))), None
    except ConfigError as error:
        return None, str(error).removeprefix(f"{run.path}/")


def num_images_of(config: RunConfig, record: Mapping[str, Any] | None) -> int | None:
    """Return how many images an epoch has, by a line of metrics; None when it does not say."""
    step, epoch = finite_number(record, "step"), finite_number(record, "epoch")
    num_images = step * config.train.images_per_step / epoch if step and epoch else 0
    return round(num_images) if 1 <= num_images <= MAX_STEPS else None


def is_run(folder: Path) -> bool:
    """Return whether a folder holds any part of a run, is empty but for hidden files, or cannot be read."""
    try:
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else ["none"]
    except OSError:  # its status says so
        return True
    return any(part in names for part in _PARTS) or all(name.startswith(".") for name in names)


def stored_files(run: RunDir, kind: Kind, check: Check = header_problem) -> Iterator[StoredFile]:
    """Yield the files of a kind, the newest first; each is checked when it is yielded."""
    path_of = run.snapshot if kind == "snapshots" else run.state
    for step in reversed(run.steps(kind)):
        path = path_of(step)
        try:
            size_bytes = path.stat().st_size
        except FileNotFoundError:  # a running process has removed it meanwhile
            continue
        yield StoredFile(kind=kind, step=step, path=path, size_bytes=size_bytes, problem=check(path))


def leftovers(run: RunDir) -> list[Leftover]:
    """Return the temporary files of killed writers, and the damaged files that a resume put aside."""
    left = dict.fromkeys(run.temporary_files(), "left by a writer that was killed")
    aside = dict.fromkeys(run.damaged_files(), "damaged, and put aside")
    found = sorted({**left, **aside}.items())
    return [Leftover(path=path, size_bytes=path.lstat().st_size, why=why) for path, why in found]


def _status(run: RunDir) -> RunStatus:
    config, problem = read_run_config(run)
    record, torn = last_record(run.metrics)
    newest, damaged = _newest_valid(run)
    state, snapshot = (newest[kind].step if kind in newest else None for kind in ("states", "snapshots"))
    steps = [step for step in (state, record["step"] if record else None) if step is not None]
    # A snapshot may be of a later step, when a damaged state sent the run back: that step is still to come.
    step = max(steps, default=snapshot)
    num_images = num_images_of(config, record) if config else None
    is_known = config is not None and (num_images is not None or config.train.epochs is None)
    num_steps = config.train.num_steps(num_images or 0) if config and is_known else None
    saved = max((file.step for file in newest.values()), default=-1)
    standing, reason = "running", None
    if not run.is_running():
        is_finished = num_steps is not None and saved >= num_steps
        standing, reason = _standing(run, problem, record, newest, damaged, is_finished=is_finished)
        if torn and reason is None:
            reason = "metrics.jsonl ends in a torn line"
    written = [run.config, run.metrics, run.log, *(file.path for file in newest.values())]
    active = max([path.stat().st_mtime for path in written if path.exists()] or [run.path.stat().st_mtime])
    kimg = step * config.train.images_per_step / 1000 if config and step is not None else finite_number(record, "kimg")
    return RunStatus(
        name=run.name, path=run.path, standing=standing, reason=reason, step=step, num_steps=num_steps,
        share=min(1.0, step / num_steps) if step is not None and num_steps else None,
        num_images=num_images, epoch=finite_number(record, "epoch"),
        kimg=kimg,
        data=Path(config.data.source).name if config else None,
        architecture=config.architecture.name if config else None,
        resolution=config.resolution if config else None,
        active=datetime.fromtimestamp(active, UTC), size_bytes=size_of(run.path), health=health_of(record),
        state=state, snapshot=snapshot,
    )  # fmt: skip


def _newest_valid(run: RunDir) -> tuple[dict[Kind, StoredFile], list[StoredFile]]:
    """Return the newest valid file of each kind, and the damaged ones that are newer."""
    newest: dict[Kind, StoredFile] = {}
    damaged = []
    for kind in KINDS:
        for file in stored_files(run, kind):
            if file.problem is None:
                newest[kind] = file
                break
            damaged.append(file)
    return newest, damaged


def _standing(
    run: RunDir, problem: str | None, record: Mapping[str, Any] | None,
    newest: Mapping[Kind, StoredFile], damaged: list[StoredFile], *, is_finished: bool,
) -> tuple[Any, str | None]:  # fmt: skip
    """Return the standing of a run that nobody is writing, and the reason."""
    names = " and ".join(f"{file.kind}/{file.path.name}" for file in damaged)
    bad = f"{names} {'is' if len(damaged) == 1 else 'are'} damaged" if damaged else None
    holds_nothing = record is None and not damaged and not newest
    if holds_nothing and not run.config.exists():
        return "empty", "nothing was written into it"
    if problem is not None:
        return "damaged", problem
    if holds_nothing:
        return "empty", "it ended before its first tick"
    if is_finished:
        return "finished", bad
    if (log := last_line(run.log)).startswith(FAILED):
        return "failed", log.removeprefix(FAILED)
    if (record is not None and not is_finite(record)) or health_of(record) == NOT_FINITE:
        return "failed", "its numbers were not finite any more"
    if "states" not in newest:
        if "snapshots" in newest:
            return "stopped", bad or "it holds no state"
        return "damaged" if bad else "empty", bad or "it holds no snapshot and no state"
    step = newest["states"].step
    if record and record["step"] > step:
        bad = bad or f"killed after step {record['step']}"
    return "stopped", f"{bad}; it can go on from step {step}" if bad else None
