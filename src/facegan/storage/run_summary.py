"""Everything that a run's folder tells about it."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..config import PLUGIN_SECTIONS, RunConfig, flat
from ..errors import FaceganError
from .atomic import read_regular
from .best_snapshot import Best, best
from .run_dir import RunDir
from .run_files import KINDS, Check, Leftover, StoredFile, leftovers, stored
from .run_log import Span, metrics, number, spans
from .run_status import MOST_SETTINGS, Standing, known_config, stand
from .safetensors_file import header_problem

WORTH_A_LOOK = ("faces.png", "losses.png", "model-card.md", "metrics.jsonl", "log.txt")


class Changed(BaseModel):
    """A setting that is not at its default; `default` is None where there is none."""

    model_config = ConfigDict(frozen=True)

    key: str
    value: Any
    default: Any


class Account(BaseModel):
    """A run in full."""

    model_config = ConfigDict(frozen=True)

    standing: Standing
    settings: dict[str, Any]  # all of them, with dotted keys; empty if they cannot be read
    changed: list[Changed]
    environment: dict[str, Any]  # as it was written when the run was started; empty if it cannot be read
    num_ticks: int  # lines of metrics.jsonl
    seconds: float | None  # of training
    images_per_second: float | None  # over the whole training
    metrics: dict[str, Any] | None  # of the last tick
    health: list[Span]
    best: Best | None = None  # by the evaluations during training
    files: list[StoredFile]  # snapshots and states, the newest first
    leftovers: list[Leftover]
    look: list[Path]  # files for people


def account(run: RunDir, check: Check = header_problem, *, plugins: bool = True) -> Account:
    """Read a run whole; a file that cannot be read is left out, and `standing` names it.

    Args:
        run: Its folder.
        check: What tells why a snapshot or a state is not whole.
        plugins: Whether the defaults of the network's and the loss's settings are asked for, which may load torch;
            without, all of these count as changed.
    """
    standing = stand(run)
    config, _ = known_config(run)
    records = metrics(run)
    last = records[-1] if records else None
    shown, seconds = number(last, "kimg"), number(last, "seconds")
    return Account(
        standing=standing,
        settings=flat(config.model_dump(mode="json")) if config else {},
        changed=_changed(config, standing.num_steps, plugins) if config else [],
        environment=_environment(run),
        num_ticks=len(records),
        seconds=seconds,
        images_per_second=shown * 1000 / seconds if shown and seconds else None,
        metrics=last,
        health=spans(records),
        best=best(run, config.evaluation) if config else None,
        files=[file for kind in KINDS for file in stored(run, kind, check)],
        leftovers=leftovers(run),
        look=_worth_a_look(run),
    )


def defaults(config: RunConfig, num_steps: int | None, plugins: bool = True) -> dict[str, Any]:
    """The settings that a run with the same plugins and length has by default, with dotted keys.

    The plugins' own are asked for, which loads them, unless `plugins` is false; those of one that is not installed are
    left out.
    """
    base = RunConfig()
    if num_steps is not None:
        base = base.model_copy(update={"output": base.output.scaled(num_steps)})
    tree = base.model_dump(mode="json")
    for kind in PLUGIN_SECTIONS if plugins else ():
        section = getattr(config, kind)
        bare = base.model_copy(update={kind: type(section)(name=section.name)})
        with suppress(FaceganError):
            tree[kind] |= bare.part(kind).model_dump(mode="json")
    return flat(tree)


def _changed(config: RunConfig, num_steps: int | None, plugins: bool) -> list[Changed]:
    usual = defaults(config, num_steps, plugins)
    return [
        Changed(key=key, value=value, default=usual.get(key))
        for key, value in flat(config.model_dump(mode="json")).items()
        if value is not None and value != usual.get(key)
    ]


def _environment(run: RunDir) -> dict[str, Any]:
    try:
        environment = json.loads(read_regular(run.environment, MOST_SETTINGS))
    except (OSError, ValueError, RecursionError):
        return {}
    return environment if isinstance(environment, dict) else {}


def _worth_a_look(run: RunDir) -> list[Path]:
    newest = run.latest("samples")
    paths = [run.path / name for name in WORTH_A_LOOK]
    return [path for path in (*([newest] if newest else []), *paths) if path.is_file()]
