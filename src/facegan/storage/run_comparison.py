"""Several runs side by side: what differs in their settings, and whether equal settings gave equal weights."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..config import DURATIONS, RunConfig, flat
from ..errors import SnapshotError
from .run_dir import RunDir
from .run_log import last_record
from .run_status import Standing, known_config, stand
from .safetensors_file import header_problem, weights_digest

WITHOUT_EFFECT = ("output.", "evaluation.", *(f"train.{name}" for name in DURATIONS))  # on the weights at a step


class Twins(BaseModel):
    """Runs whose settings make the same weights, and whether they did at the newest step that all have a snapshot of.

    `step` and `identical` are None when there is no such step.
    """

    model_config = ConfigDict(frozen=True)

    runs: list[int]  # their places in the comparison
    step: int | None
    identical: bool | None


class Comparison(BaseModel):
    """Runs side by side; lists have a value a run, in their order, None where a run has none."""

    model_config = ConfigDict(frozen=True)

    runs: list[Standing]
    settings: dict[str, list[Any]]  # the differing ones alone, with dotted keys
    metrics: dict[str, list[Any]]  # of the last tick of each
    twins: list[Twins]


def compare(runs: Sequence[RunDir]) -> Comparison:
    """Put runs side by side.

    Raises:
        SnapshotError: The configuration of one cannot be read.
    """
    configs = [_config(run) for run in runs]
    records = [last_record(run.metrics)[0] or {} for run in runs]
    keys = dict.fromkeys(key for record in records for key in record)
    return Comparison(
        runs=[stand(run) for run in runs],
        settings=differing([flat(config.model_dump(mode="json")) for config in configs]),
        metrics={key: [record.get(key) for record in records] for key in keys},
        twins=_twins(runs, configs),
    )


def differing(settings: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The settings that are not the same everywhere; what one lacks is None."""
    keys = dict.fromkeys(key for each in settings for key in each)
    values = {key: [each.get(key) for each in settings] for key in keys}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def _config(run: RunDir) -> RunConfig:
    config, problem = known_config(run)
    if config is None:
        raise SnapshotError(f"{run.path}/{problem}")
    return config


def _twins(runs: Sequence[RunDir], configs: Sequence[RunConfig]) -> list[Twins]:
    groups: dict[str, list[int]] = {}
    for place, config in enumerate(configs):
        settings = flat(config.model_dump(mode="json")).items()
        same = sorted((key, repr(value)) for key, value in settings if not key.startswith(WITHOUT_EFFECT))
        groups.setdefault(repr(same), []).append(place)
    return [_look_alike(runs, places) for places in groups.values() if len(places) > 1]


def _look_alike(runs: Sequence[RunDir], places: list[int]) -> Twins:
    common = set.intersection(*(set(runs[place].steps("snapshots")) for place in places))
    for step in sorted(common, reverse=True):
        paths = [runs[place].snapshot(step) for place in places]
        if not any(header_problem(path) for path in paths):
            return Twins(runs=places, step=step, identical=len({weights_digest(path) for path in paths}) == 1)
    return Twins(runs=places, step=None, identical=None)
