"""The page: what is said of a run, and the one file it becomes."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import __version__
from ..config import flat
from ..storage.atomic import read_regular, write_atomic
from ..storage.run_dir import RunDir
from ..storage.run_log import caption, read_evaluations, read_metrics
from ..storage.run_summary import RunSummary, summarize_run
from ..training.diagnostics import ADVICE
from . import curves
from .pictures import Progress, embedded, embedded_grids
from .words import summary

MOST_CARD = 20_000  # bytes of a model card
MOST_EVALUATIONS = 500  # lines, the newest
EVALUATION = ("step", "metric", "value", "95 % interval", "real against real", "ratio", "judged", "real", "protocol")


@dataclass(frozen=True)
class Report:
    """What was written."""

    path: Path
    size_bytes: int
    num_grids: int  # in the page
    num_left_out: int  # so that it stays small
    damaged: Sequence[str]  # names of grids that cannot be read


def write_report(
    run: RunDir,
    path: Path,
    *,
    commands: Callable[[RunSummary], Sequence[tuple[str, str]]],
    real: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write a run as one HTML file that needs no other file and no network; whatever state the run is in.

    Args:
        run: Its folder; read, not changed.
        path: The file.
        commands: The command lines to go on with, each with what it does.
        real: Whether real.png stands in it too, which shows the training images.
        progress: Called with (grids done, grids in all).

    Raises:
        SnapshotError: real.png is wanted, and missing or damaged.
        OSError: The file cannot be written.
    """
    found = summarize_run(run, plugins=False)
    steps = run.steps("samples")
    grids, damaged = embedded_grids(run, steps, progress)
    records = read_metrics(run)
    last: int = max([1, *steps, *(record["step"] for record in records[-1:])])
    panels = curves.panels(records, last)
    content = _template().render(
        run=found.standing,
        summary=summary(found),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        grids=[
            {"x": curves.across(step, last), "caption": caption(records, step), "src": src}
            for step, src in grids.items()
        ],
        num_grids=len(steps) - len(damaged),
        damaged=damaged,
        real=embedded(run.path / "samples" / "real.png") if real else None,
        panels=panels,
        panels_data=[{"steps": each.steps, "values": [curve.values for curve in each.curves]} for each in panels],
        axes=curves,
        ticks=[(curves.across(mark, last), f"{mark:,.0f}") for mark in curves.marks(0, last) if mark == int(mark)],
        last=last,
        health=[(span, ADVICE.get(span.health, "")) for span in found.health],
        evaluations=[
            [_cell(cell) for cell in _evaluation(each)]
            for each in read_evaluations(run.path / "evaluations.jsonl")[-MOST_EVALUATIONS:]
        ],
        columns=EVALUATION,
        changed=[(each.key, _cell(each.value), _cell(each.default)) for each in found.changed],
        settings=[(key, _cell(value)) for key, value in found.settings.items()],
        environment=_environment(found.environment),
        commands=commands(found),
        card=_card(run),
    )
    encoded = content.encode("utf-8", "backslashreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, encoded)
    return Report(path, len(encoded), len(grids), len(steps) - len(grids) - len(damaged), damaged)


def _evaluation(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """The cells of a line of evaluations.jsonl; of an older or foreign one, as far as it has them."""
    floor = line.get("floor")
    floor = floor if isinstance(floor, dict) else {}
    bounds, protocol = line.get("interval"), line.get("protocol")
    if isinstance(bounds, list) and all(isinstance(each, int | float) for each in bounds):
        bounds = " to ".join(f"{each:.6g}" for each in bounds)
    if isinstance(protocol, dict):
        protocol = ", ".join(f"{key} {_cell(value)}" for key, value in flat(protocol).items())
    step, judged = line.get("step", line.get("snapshot")), line.get("num_fake", line.get("num_images"))
    numbers = line.get("metric"), line.get("value"), bounds, floor.get("value"), floor.get("ratio")
    return step, *numbers, judged, line.get("num_real"), protocol


def _template() -> Any:
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True}
    folder = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=folder, autoescape=True, undefined=StrictUndefined, **options).get_template("page.html")


def _environment(environment: dict[str, Any]) -> list[tuple[str, str]]:
    command = environment.get("command")
    rest = {key: value for key, value in environment.items() if key != "command" and value is not None}
    rows = [(key, _cell(value)) for key, value in flat(rest).items()]
    return [("command", shlex.join(["facegan", *map(str, command[1:])])), *rows] if isinstance(command, list) else rows


def _card(run: RunDir) -> str:
    """The model card's text, without its heading; "" when there is none."""
    try:
        text = read_regular(run.path / "model-card.md", MOST_CARD)
    except OSError:
        return ""
    return text.decode("utf-8", "replace").strip()


def _cell(value: Any) -> str:
    """A value as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
