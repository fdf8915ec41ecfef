"""All that the folder of a run says about it, and the differences between several runs."""

import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..config import DURATIONS, PLUGIN_SECTIONS, RunConfig, flat, preset_layer
from ..errors import SnapshotError
from .atomic import json_object, read_regular
from .best_snapshot import BestSnapshot, best_snapshot
from .run_changes import SettingChange, read_changes
from .run_dir import MAX_STEPS, RunDir
from .run_log import Span, finite_number, health_spans, last_record, read_metrics
from .run_status import (
    KINDS,
    MAX_SETTINGS,
    Check,
    Leftover,
    RunStatus,
    StoredFile,
    leftovers,
    read_run_config,
    run_status,
    stored_files,
)
from .safetensors_file import header_problem, weights_digest

_FOR_PEOPLE = ("faces.png", "losses.png", "model-card.md", "metrics.jsonl", "log.txt")
_DURATIONS = tuple(f"train.{name}" for name in DURATIONS)
_WITHOUT_EFFECT = ("output.", "evaluation.", "data.reading", *_DURATIONS)  # on the weights at a step, as a rule


class ChangedSetting(BaseModel, frozen=True):
    """A setting that is not at its default; `default` is None where there is none."""

    key: str
    value: Any
    default: Any


class RunSummary(BaseModel, frozen=True):
    """A run in full."""

    standing: RunStatus
    settings: dict[str, Any]  # all of them, with dotted keys; empty if they cannot be read
    changed: list[ChangedSetting]
    environment: dict[str, Any]  # as written when the run was started; empty if it cannot be read
    num_ticks: int  # lines of metrics.jsonl
    seconds: float | None  # of training
    images_per_second: float | None  # averaged over the training
    metrics: dict[str, Any] | None  # of the last tick
    health: list[Span]
    changes: list[SettingChange] = []  # of settings, by resuming
    best: BestSnapshot | None = None  # by the evaluations during training
    files: list[StoredFile]  # snapshots and states, the newest first
    leftovers: list[Leftover]
    look: list[Path]  # files for people

    def flat_environment(self) -> dict[str, Any]:
        """Return the known facts of the environment by dotted keys, its command as a line of a shell."""
        command, known = self.environment.get("command"), dict(self.environment)
        if isinstance(command, list):
            known["command"] = shlex.join(["facegan", *map(str, command[1:])])
        return {key: value for key, value in flat(known).items() if value is not None}


class Twins(BaseModel, frozen=True):
    """Runs with settings that make the same weights, and whether they did at the newest step with a snapshot of each.

    `step` and `identical` are None when there is no such step.
    """

    runs: list[int]  # their places in the comparison
    step: int | None
    identical: bool | None


class RunComparison(BaseModel, frozen=True):
    """Runs side by side; lists have a value for each run, in their order, None where a run has none."""

    runs: list[RunStatus]
    settings: dict[str, list[Any]]  # only those that differ, with dotted keys
    metrics: dict[str, list[Any]]  # of the last tick of each
    twins: list[Twins]


def summarize_run(run: RunDir, check: Check = header_problem) -> RunSummary:
    """Summarize a run; files that cannot be read are left out, and `standing` names them.

    Args:
        run: Its folder.
        check: Returns why a snapshot or state is damaged, or None.
    """
    status, (config, _), records = run_status(run), read_run_config(run), read_metrics(run)
    settings = flat(config.model_dump(mode="json")) if config else {}
    defaults = default_settings(config, status.num_steps) if config else {}
    changed = [
        ChangedSetting(key=key, value=value, default=defaults.get(key))
        for key, value in settings.items()
        if value is not None and value != defaults.get(key)
    ]
    environment = None
    with suppress(OSError):
        environment = json_object(read_regular(run.environment, MAX_SETTINGS))
    newest, last = run.latest("samples"), records[-1] if records else None
    for_people = [*([newest] if newest else []), *(run.path / name for name in _FOR_PEOPLE)]
    shown, seconds = finite_number(last, "kimg"), finite_number(last, "seconds")
    if seconds is not None and not 0 <= seconds <= MAX_STEPS:
        seconds = None  # no run took so long
    return RunSummary(
        standing=status,
        settings=settings,
        changed=changed,
        environment=environment or {},
        num_ticks=len(records),
        seconds=seconds,
        images_per_second=shown * 1000 / seconds if shown and seconds else None,
        metrics=last,
        health=health_spans(records),
        changes=read_changes(run),
        best=best_snapshot(run, config.evaluation) if config else None,
        files=[file for kind in KINDS for file in stored_files(run, kind, check)],
        leftovers=leftovers(run),
        look=[path for path in for_people if path.is_file()],
    )


def compare_runs(runs: Sequence[RunDir]) -> RunComparison:
    """Compare runs side by side.

    Raises:
        SnapshotError: The configuration of one cannot be read.
    """
    settings = []
    for run in runs:
        config, problem = read_run_config(run)
        if config is None:
            raise SnapshotError(f"{run.path}/{problem}")
        settings.append(default_settings(config, None) | flat(config.model_dump(mode="json")))
    records = [last_record(run.metrics)[0] or {} for run in runs]
    keys = dict.fromkeys(key for record in records for key in record)
    groups: dict[str, list[int]] = {}  # of the runs whose settings make the same weights
    for place, each in enumerate(settings):
        idle = _WITHOUT_EFFECT if _is_scheduled(each) else (*_WITHOUT_EFFECT, "schedule.")
        effective = {key: value for key, value in each.items() if not key.startswith(idle)}
        changes = [change for change in read_changes(runs[place]) if not change.key.startswith(idle)]
        effective["changes"] = [change.model_dump() for change in changes]
        groups.setdefault(json.dumps(effective, sort_keys=True), []).append(place)
    return RunComparison(
        runs=[run_status(run) for run in runs],
        settings=differing(settings),
        metrics={key: [record.get(key) for record in records] for key in keys},
        twins=[_compare_weights(runs, places) for places in groups.values() if len(places) > 1],
    )


def _is_scheduled(settings: Mapping[str, Any]) -> bool:
    """Return whether the length of the schedules changes a run with these settings, with dotted keys."""
    decays = settings["optimizer.decay"] != 1 or settings["penalty.decay"] != 1
    return decays or bool(settings["augment.policy"] and settings["augment.ramp_kimg"] is None)


# The defaults of built-in parts are those of the preset "dcgan"; to ask the parts themselves would load torch.
_BUILT_IN = ("dcgan", "nonsaturating", "saturating")


def default_settings(config: RunConfig, num_steps: int | None) -> dict[str, Any]:
    """Return the settings, with dotted keys, that a run with the same parts and length has by default.

    An installed plugin, which is not loaded for them, has none.
    """
    base = RunConfig()
    if num_steps is not None:
        schedule = base.schedule.model_copy(update={"kimg": num_steps * config.train.images_per_step / 1000})
        base = base.model_copy(update={"output": base.output.scaled(num_steps), "schedule": schedule})
    tree = base.model_dump(mode="json")
    for kind in PLUGIN_SECTIONS:
        if getattr(config, kind).name in _BUILT_IN:
            tree[kind] |= preset_layer("dcgan")[kind]
    return flat(tree)


def differing(settings: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the settings that are not the same everywhere; None where one is missing."""
    keys = dict.fromkeys(key for each in settings for key in each)
    values = {key: [each.get(key) for each in settings] for key in keys}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def _compare_weights(runs: Sequence[RunDir], places: list[int]) -> Twins:
    common = set.intersection(*(set(runs[place].steps("snapshots")) for place in places))
    for step in sorted(common, reverse=True):
        paths = [runs[place].snapshot(step) for place in places]
        if not any(header_problem(path) for path in paths):
            return Twins(runs=places, step=step, identical=len({weights_digest(path) for path in paths}) == 1)
    return Twins(runs=places, step=None, identical=None)
