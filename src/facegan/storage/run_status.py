"""How runs stand: running, finished, stopped, failed, damaged or empty, and how far they have come."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..config import RunConfig, read_file, validate
from ..errors import ConfigError
from .atomic import read_regular, size_of
from .run_dir import RunDir
from .run_files import KINDS, Kind, StoredFile, stored
from .run_log import FAILED, MOST, NOT_FINITE, health_of, is_finite, last_line, last_record, number

PARTS = ("config.json", "environment.json", "metrics.jsonl", "snapshots", "states")  # what tells a run's folder
MOST_SETTINGS = 1 << 20  # bytes of config.json or environment.json: far more than is ever written


class Standing(BaseModel):
    """A run in short. What cannot be known is None."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: Path
    standing: Literal["running", "finished", "stopped", "failed", "damaged", "empty"]
    reason: str | None  # what is amiss; None for a run that goes on, or that ended or was stopped in good order
    step: int | None  # the last one that anything is known of
    num_steps: int | None  # of the whole run
    share: float | None  # of the steps that are done, 0 to 1
    num_images: int | None
    epoch: float | None
    kimg: float | None
    data: str | None  # the source's last name
    architecture: str | None
    resolution: int | None
    active: datetime  # when it was last written
    size_bytes: int
    health: str | None  # of the last tick
    state: int | None  # the step of the newest whole state
    snapshot: int | None  # the step of the newest whole snapshot


def survey(root: Path) -> tuple[list[Standing], list[str]]:
    """Every run in a folder, the last active first, and the names of folders there that are no runs.

    A folder whose name is no text counts as none, for nobody could name it to a command.
    """
    if not root.is_dir():
        return [], []
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()]
    ours = [path for path in folders if path.name.isprintable() and _may_be_run(path)]
    foreign = [path.name for path in folders if path not in ours]
    foreign = [name if name.isprintable() else name.encode("unicode_escape").decode() for name in foreign]
    return sorted(map(stand, map(RunDir, ours)), key=lambda run: run.active, reverse=True), foreign


def stand(run: RunDir) -> Standing:
    """How a run stands, whatever state its folder is in."""
    try:
        return _stand(run)
    except OSError as error:
        about: dict[str, Any] = dict.fromkeys(Standing.model_fields)
        reason = f"{error.filename or run.path}: cannot be read ({error.strerror or error})"
        active = datetime.fromtimestamp(run.path.stat().st_mtime, UTC)
        known = {"name": _name(run), "path": run.path, "active": active, "size_bytes": 0}
        return Standing(**about | known | {"standing": "damaged", "reason": reason})


def known_config(run: RunDir) -> tuple[RunConfig | None, str | None]:
    """The configuration of a run, or why it cannot be read; sections of plugins stay unchecked."""
    try:
        return validate(read_file(run.config, lambda path: read_regular(path, MOST_SETTINGS))), None
    except ConfigError as error:
        return None, str(error).removeprefix(f"{run.path}/")


def num_images_of(config: RunConfig, record: Mapping[str, Any] | None) -> int | None:
    """How many images an epoch has, as a line of metrics tells."""
    step, epoch = number(record, "step"), number(record, "epoch")
    num_images = step * config.train.batch_size / epoch if step and epoch else 0
    return round(num_images) if 1 <= num_images <= MOST else None


def is_run(folder: Path) -> bool:
    """Whether a folder is one that a run has left, however little of it, or an empty one."""
    return folder.is_dir() and (
        any((folder / part).exists() for part in PARTS) or not any(_is_shown(path) for path in folder.iterdir())
    )


def _may_be_run(folder: Path) -> bool:
    try:
        return is_run(folder)
    except OSError:  # one that may not be looked into: `stand` says so
        return True


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".")  # as locks and temporary files do


def _name(run: RunDir) -> str:
    return run.path.name or run.path.absolute().name


def _stand(run: RunDir) -> Standing:
    config, problem = known_config(run)
    record, torn = last_record(run.metrics)
    newest, damaged = _newest_whole(run)
    state, snapshot = newest["states"], newest["snapshots"]
    steps = ([state.step] if state else []) + ([record["step"]] if record else [])
    # A snapshot may be of a later step, when a damaged state sent the run back: that step is yet to come once more.
    step = max(steps, default=snapshot.step if snapshot else None)
    num_images = num_images_of(config, record) if config else None
    num_steps = _num_steps(config, num_images) if config else None
    saved = max((each.step for each in newest.values() if each), default=None)
    finished = saved is not None and num_steps is not None and saved >= num_steps
    standing, reason = _judge(run, problem, record, newest, damaged, finished)
    if torn and reason is None and standing != "running":  # who writes just now is not done with the line
        reason = "metrics.jsonl ends in a torn line"
    return Standing(
        name=_name(run), path=run.path, standing=standing, reason=reason, step=step, num_steps=num_steps,
        share=min(1.0, step / num_steps) if step is not None and num_steps else None,
        num_images=num_images, epoch=number(record, "epoch"),
        kimg=step * config.train.batch_size / 1000 if config and step is not None else number(record, "kimg"),
        data=Path(config.data.source).name if config else None,
        architecture=config.architecture.name if config else None,
        resolution=config.resolution if config else None,
        active=_active(run, newest), size_bytes=size_of(run.path), health=health_of(record),
        state=_step(newest["states"]), snapshot=_step(newest["snapshots"]),
    )  # fmt: skip


def _newest_whole(run: RunDir) -> tuple[dict[Kind, StoredFile | None], list[StoredFile]]:
    """The newest whole file of each kind, and the damaged ones that are newer."""
    newest: dict[Kind, StoredFile | None] = dict.fromkeys(KINDS)
    damaged = []
    for kind in KINDS:
        for file in stored(run, kind):
            if file.problem is None:
                newest[kind] = file
                break
            damaged.append(file)
    return newest, damaged


def _judge(
    run: RunDir, problem: str | None, record: Mapping[str, Any] | None,
    newest: Mapping[Kind, StoredFile | None], damaged: list[StoredFile], finished: bool,
) -> tuple[Any, str | None]:  # fmt: skip
    """How it stands, and why."""
    if run.is_running():
        return "running", None
    names = " and ".join(f"{file.kind}/{file.path.name}" for file in damaged)
    bad = f"{names} {'is' if len(damaged) == 1 else 'are'} damaged" if damaged else None
    nothing = record is None and not damaged and not any(newest.values())
    if nothing and not run.config.exists():
        return "empty", "nothing was written into it"
    if problem is not None:
        return "damaged", problem
    if nothing:
        return "empty", "it ended before its first tick"
    log = last_line(run.log)
    if finished:
        return "finished", bad
    if log.startswith(FAILED):
        return "failed", log.removeprefix(FAILED)
    if (record is not None and not is_finite(record)) or health_of(record) == NOT_FINITE:
        return "failed", "its numbers were not finite any more"
    state = newest["states"]
    if state is None:
        missing = bad or f"it holds no {'state' if newest['snapshots'] else 'snapshot and no state'}"
        return ("stopped" if newest["snapshots"] else "damaged" if bad else "empty"), missing
    reached = max(state.step, record["step"] if record else 0)
    if bad:
        return "stopped", f"{bad}; it can go on from step {state.step}"
    if reached == state.step:
        return "stopped", None
    return "stopped", f"killed after step {reached}; it can go on from step {state.step}"


def _num_steps(config: RunConfig, num_images: int | None) -> int | None:
    if config.train.epochs is not None and num_images is None:
        return None
    return config.train.num_steps(num_images or 0)


def _active(run: RunDir, newest: Mapping[Kind, StoredFile | None]) -> datetime:
    paths = [run.config, run.metrics, run.log, *(file.path for file in newest.values() if file)]
    times = [path.stat().st_mtime for path in paths if path.exists()]
    return datetime.fromtimestamp(max(times, default=run.path.stat().st_mtime), UTC)


def _step(file: StoredFile | None) -> int | None:
    return file.step if file else None
