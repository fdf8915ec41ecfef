"""The HTML page of a run: its sentences, grids, curves and tables in one file."""

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from .. import __version__
from ..config import flat
from ..errors import SnapshotError
from ..images.files import read_grid
from ..messages import counted
from ..reporter import SILENT, Progress, Reporter
from ..storage.atomic import read_regular, write_atomic
from ..storage.run_dir import RunDir
from ..storage.run_log import caption, evenly, read_evaluations, read_metrics
from ..storage.run_summary import RunSummary, summarize_run
from ..training.diagnostics import ADVICE
from . import curves

MAX_CARD_BYTES = 20_000  # of the model card
MAX_EVALUATIONS = 500  # lines, the newest
MAX_GRIDS = 60
MAX_GRID_BYTES = 7_000_000  # of all grids, as they are written in the page
MAX_SIDE = 1_100  # pixels; larger grids are made smaller
COLUMNS = (
    "step",
    "metric",
    "value",
    "95 % interval of the mean",
    "real against real",
    "ratio",
    "evaluated",
    "real",
    "protocol",
)
STATUS = {
    "running": "The run is in progress: this page shows its state at the time when the page was made.",
    "finished": "The run is finished.",
    "stopped": "The run was stopped before its end.",
    "failed": "The run failed.",
    "damaged": "The run's folder is damaged.",
    "empty": "The run has hardly begun.",
}


@dataclass(frozen=True)
class Report:
    """A written page; grids may be left out, so that it stays small."""

    path: Path
    size_bytes: int
    num_grids: int  # in the page
    num_left_out: int
    damaged: Sequence[str]  # the names of grids that cannot be read


def write_report(
    run: RunDir,
    path: Path,
    *,
    commands: Callable[[RunSummary], Sequence[tuple[str, str]]],
    real: bool = False,
    reporter: Reporter = SILENT,
) -> Report:
    """Write a run, in any state, as one HTML file that needs no other file and no network.

    Args:
        run: Its folder; only read.
        path: The file.
        commands: Returns command lines to continue with, each with its effect.
        real: Whether to show real.png, which has training images.
        reporter: Receives the progress of "embedding grids".

    Raises:
        SnapshotError: real.png is to be shown, and is missing or damaged.
        OSError: The file cannot be written.
    """
    found, steps, records = summarize_run(run), run.steps("samples"), read_metrics(run)
    grids, damaged = _embed_grids(run, steps, reporter.counter("embedding grids"))
    last: int = max([1, *steps, *(record["step"] for record in records[-1:])])
    folder, options = FileSystemLoader(Path(__file__).parent), {"trim_blocks": True, "lstrip_blocks": True}
    pages = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, **cast("Any", options))
    content = pages.get_template("page.html").render(
        run=found.standing,
        summary=_sentences(found),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        grids=[
            {"x": curves.across(step, last), "caption": caption(records, step), "src": src}
            for step, src in grids.items()
        ],
        num_grids=len(steps) - len(damaged),
        damaged=damaged,
        real=_embed(run.path / "samples" / "real.png") if real else None,
        commands=commands(found),
        panels=curves.panels(records, last),
        axes=curves,
        ticks=[(curves.across(mark, last), f"{mark:,.0f}") for mark in curves.marks(0, last) if mark == int(mark)],
        last=last,
        **_tables(run, found),
    )
    encoded = content.encode("utf-8", "backslashreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, encoded)
    return Report(path, len(encoded), len(grids), len(steps) - len(grids) - len(damaged), damaged)


def _tables(run: RunDir, found: RunSummary) -> dict[str, Any]:
    card = b""
    with suppress(OSError):
        card = read_regular(run.path / "model-card.md", MAX_CARD_BYTES)
    return {
        "health": [(span, ADVICE.get(span.health, "")) for span in found.health],
        "evaluations": [_evaluation(line) for line in read_evaluations(run.evaluations)[-MAX_EVALUATIONS:]],
        "columns": COLUMNS,
        "changed": [(each.key, _cell(each.value), _cell(each.default)) for each in found.changed],
        "settings": [(key, _cell(value)) for key, value in found.settings.items()],
        "environment": [(key, _cell(value)) for key, value in found.flat_environment().items()],
        "card": card.decode("utf-8", "replace").strip(),
    }


def _sentences(found: RunSummary) -> list[str]:
    """Describe a run in sentences, as far as it is known."""
    run = found.standing
    sentences = ["The faces on this page are synthetic: a network drew them from noise, and they are of nobody."]
    if run.architecture:
        of = f" ({counted(run.num_images, 'image')})" if run.num_images else ""
        sentences.append(
            f"The network is a {run.architecture} for images of {run.resolution}x{run.resolution} pixels, trained on "
            f"“{run.data}”{of}. A face can still resemble one that it learned from."
        )
    if run.step is not None:
        steps = f"{run.step:,} of {counted(run.num_steps, 'step')}" if run.num_steps else counted(run.step, "step")
        shown = f", {run.kimg:,.1f} thousand images" if run.kimg is not None else ""
        epochs = f", {run.epoch:,.2f} times through all of them" if run.epoch is not None else ""
        sentences.append(f"Its length so far: {steps}{shown}{epochs}.")
    if found.seconds is not None:
        machine, system = found.environment.get("gpu") or found.environment.get("device"), ""
        if isinstance(machine, str):
            system = str(found.environment.get("platform", "")).partition("-")[0]
            system = f" on {'a CPU' if machine == 'cpu' else machine}{f' under {system}' if system else ''}"
        speed = f", {found.images_per_second:,.0f} images a second" if found.images_per_second else ""
        sentences.append(f"That took {timedelta(seconds=round(found.seconds))} hours of training{system}{speed}.")
    status = STATUS[run.standing]
    return [*sentences, f"{status[:-1]}: {run.reason}." if run.reason else status]


def _embed(path: Path) -> str:
    """Return a grid as a WebP in a `data:` address; raises SnapshotError when it cannot be read."""
    grid = read_grid(path)
    grid.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    grid.save(buffer, "WEBP", quality=85, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _embed_grids(run: RunDir, steps: Sequence[int], progress: Progress) -> tuple[dict[int, str], list[str]]:
    """Embed as many grids as a page can have, evenly chosen; return them by step, and the names of damaged ones."""
    found: dict[int, str] = {}
    damaged = []
    chosen = evenly(steps, MAX_GRIDS)
    for done, step in enumerate(chosen, 1):
        path = run.sample(step)
        try:
            found[step] = _embed(path)
        except SnapshotError:
            damaged.append(path.name)
        progress(done, len(chosen))
    while len(found) > 1 and sum(map(len, found.values())) > MAX_GRID_BYTES:
        found = {step: found[step] for step in evenly(list(found), len(found) - 1 - len(found) // 8)}
    return found, damaged


def _evaluation(line: Mapping[str, Any]) -> list[str]:
    """Return the cells of a line of evaluations.jsonl; an older or foreign line may lack some."""
    floor, bounds, protocol = line.get("floor"), line.get("interval"), line.get("protocol")
    floor = floor if isinstance(floor, dict) else {}
    if isinstance(bounds, list) and all(isinstance(each, int | float) for each in bounds):
        bounds = " to ".join(f"{each:.6g}" for each in bounds)
    if isinstance(protocol, dict):
        protocol = ", ".join(f"{key} {_cell(value)}" for key, value in flat(protocol).items())
    step, evaluated = line.get("step", line.get("snapshot")), line.get("num_fake", line.get("num_images"))
    values = step, line.get("metric"), line.get("value"), bounds, floor.get("value"), floor.get("ratio")
    return [_cell(value) for value in (*values, evaluated, line.get("num_real"), protocol)]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
