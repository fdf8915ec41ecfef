"""What `facegan runs` says of runs, in words and tables for people."""

import math
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from ..storage.run_dir import DAMAGED
from .console import duration, table

if TYPE_CHECKING:
    from ..storage.run_status import RunStatus
    from ..storage.run_summary import RunComparison, RunSummary

UNLIMITED = 10_000  # columns, where there is no terminal
NAME_WIDTH, DATA_WIDTH = 20, 16  # characters in a narrow table, before a name is broken

# Loss and score of a D that can only guess are those of logistic losses: -2 ln(1/2), -ln(1/2) and 1/2.
MEANINGS = {
    "loss/D": "D's loss: low when D is sure and right; 1.39 when it only guesses",
    "loss/D_real": "the part of it on training images",
    "loss/D_fake": "the part of it on G's images",
    "loss/G": "G's loss: high when D sees through G; 0.69 when D only guesses",
    "score/real": "D(x): how real D finds training images, 0 to 1; 0.50 is balance",
    "score/fake": "D(G(z)): how real D finds G's images; near 0 for long, D has won",
    "spread/real": "how much training images differ from each other",
    "spread/fake": "how much G's images do; far less than the real ones is collapse",
}
IN_LENGTH = ("step", "epoch", "kimg", "seconds", "images_per_second", "health")  # told elsewhere


def finite(document: Any) -> Any:
    """A document that JSON can carry: numbers that are not finite become null."""
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list):
        return [finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def tell_standings(found: "Sequence[RunStatus]") -> None:
    """Runs in short: a line each, or two where the terminal is too narrow; then what is amiss with any."""
    lines = [_one_line(run) for run in found]
    widths = [max(len(line) for cell in cells for line in cell.split("\n")) for cells in zip(*lines, strict=True)]
    print(end="\n" if found else "")
    if sum(widths) + 2 * (len(widths) - 1) > _columns():
        table("", ("run", "stands", "steps", "trains", "written"), [_stacked(run) for run in found])
    elif found:
        heads = "run", "stands", "steps", "", "kimg", "data", "network", "written", "size", "health"
        table("", heads, list(lines))
    amiss = [f"{run.name}: {run.reason}" for run in found if run.reason]
    print(end="\n" if amiss else "")
    for text in amiss:
        print(_wrapped(text))


def listed(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows in aligned columns without a heading, indented; the last column is wrapped to the terminal."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        start = "  " + "".join(cell.ljust(width) + "  " for cell, width in zip(row[:-1], widths, strict=False))
        print(_wrapped(row[-1], start))


def tell(found: "RunSummary", *, verified: bool) -> None:
    """A run in full, section by section; a section of which nothing is known is left out."""
    from ..training.diagnostics import ADVICE

    run = found.standing
    done = "" if run.step is None else f" at step {_steps(run).replace('/', ' of ')}"
    share = "" if run.share is None else f" ({_percent(run)})"
    print(f"{run.path}: {run.standing}{done}{share}, last written {_ago(run.active.timestamp())}")
    if run.reason:
        print(run.reason)
    elif run.standing == "stopped":
        print("stopped in good order: everything was saved")
    _section("Settings that are not the defaults", _changed(found))
    _section("Started with", _environment(found.environment))
    _section("Length and speed", _length(found))
    metrics = found.metrics or {}
    numbers = [(key, value) for key, value in metrics.items() if key not in IN_LENGTH and isinstance(value, float)]
    rows = [(key, f"{value:.3f}", MEANINGS.get(key, "")) for key, value in numbers]
    _section(f"Metrics of the last tick, step {metrics.get('step')}", rows)
    spans = [
        (span.health, f"steps {span.first:,} to {span.last:,}", f"{span.num_ticks:,} ticks") for span in found.health
    ]
    _section("Health", spans)
    if spans and (advice := ADVICE.get(spans[-1][0])):
        print(_wrapped(advice, "  "))
    whole = "whole" if verified else "whole by its header"
    files = [
        (str(file.path.relative_to(run.path)), decimal(file.size_bytes), file.problem or whole) for file in found.files
    ]
    files += [(str(file.path.relative_to(run.path)), decimal(file.size_bytes), file.why) for file in found.leftovers]
    _section("Snapshots, to use, and states, to resume", files)
    if best := found.best:
        row = str(best.path.relative_to(run.path)), f"{best.metric} {best.value:.4g}", f"on {best.num_images:,} faces"
        _section("Best snapshot, as measured during training", [row])
    _section("Worth a look", [(str(path),) for path in found.look])
    _section("Next", next_commands(found))


def letter(place: int) -> str:
    """What a run is called in a comparison: A, B, ..."""
    return chr(ord("A") + place)


def next_commands(found: "RunSummary") -> list[tuple[str, str]]:
    """Commands that make sense now, the likeliest first, each with what it does."""
    run, path = found.standing, shlex.quote(str(found.standing.path))
    anew = f"facegan train --config {path}/config.json"
    files = [file for file in found.files if file.kind == "snapshots"]
    plain = found.settings and files and files[0].step == run.snapshot  # then the run's name is enough
    model = path if plain else f"{path}/snapshots/step-{run.snapshot or 0:08d}.safetensors"
    sample = (f"facegan sample {model} -n 64 -o grid.png", f"draw faces as of step {run.snapshot}")
    put_aside = [file for file in found.leftovers if file.path.suffix == DAMAGED]
    following: list[tuple[str, str]] = []
    if run.standing == "running":
        following.append((f"tail -f {path}/log.txt", "watch it"))
    elif run.standing == "finished":
        following += [sample] if run.snapshot is not None else []
        if run.state is not None and run.num_steps:
            following.append((f"facegan resume {path} --steps {2 * run.num_steps}", "train on, here twice as long"))
    elif run.standing == "stopped" and run.state is not None:
        following.append((f"facegan resume {path}", f"go on from step {run.state}"))
    elif run.standing == "empty" and found.settings and not put_aside:
        following.append((f"facegan resume {path}", "begin again from the first step"))
    elif run.standing == "failed" and run.state is not None and "not finite" not in (run.reason or ""):
        following.append((f"facegan resume {path}", f"go on from step {run.state}, once the cause is mended"))
    elif run.standing == "failed" and "not finite" not in (run.reason or ""):
        following.append((f"{anew} --run {path} --force", "start it anew, once the cause is mended"))
    elif run.standing == "failed":
        rates = [f"--set {key}={found.settings[key] / 2:g}" for key in ("optimizer.lr_G", "optimizer.lr_D")]
        following.append((f"{anew} {' '.join(rates)}", "a new run at half the learning rates"))
    elif found.settings:
        following.append((f"{anew} --run {path} --force", "start it anew; what is there is kept aside"))
    if run.snapshot is not None and sample not in following:
        following.append(sample)
    if found.best and found.best.step != run.snapshot:
        best = shlex.quote(str(found.best.path))
        following.append(
            (f"facegan sample {best} -n 64 -o best.png", f"draw faces as of step {found.best.step}, the best")
        )
    if len(found.files) > 2 and run.standing in ("finished", "stopped"):
        following.append((f"facegan runs clean {path} --dry-run", "see what could be removed"))
    return following


def tell_difference(found: "RunComparison") -> None:
    """Runs side by side."""
    letters = [letter(place) for place in range(len(found.runs))]
    rows = [
        (mark, str(run.path), run.standing, _steps(run), _kimg(run), _network(run))
        for mark, run in zip(letters, found.runs, strict=True)
    ]
    table("", ("", "run", "stands", "steps", "kimg", "network"), rows)
    settings = [(key, *(_value(value) for value in values)) for key, values in found.settings.items()]
    _beside("Settings that differ", settings, ("setting", *letters))
    if not settings:
        print("\nNo setting differs.")
    metrics = [(key, *(_number(value) for value in values)) for key, values in found.metrics.items()]
    _beside("Last tick", metrics, ("", *letters))
    for twins in found.twins:
        *most, last = [letters[place] for place in twins.runs]
        marks = f"{', '.join(most)} and {last}"
        if twins.identical is None:
            said = "have no snapshot of the same step to compare"
        else:
            said = f"{'are the same to the bit' if twins.identical else 'differ'} at step {twins.step:,}"
        print("\n" + _wrapped(f"Weights: {marks}, whose settings should make the same, {said}."))


def _one_line(run: "RunStatus") -> tuple[str, ...]:
    name = _folded(run.name, NAME_WIDTH) if sys.stdout.isatty() else run.name
    return (
        name, run.standing, _steps(run), _percent(run), _kimg(run), run.data or "-", _network(run),
        _ago(run.active.timestamp()), decimal(run.size_bytes), run.health or "-",
    )  # fmt: skip


def _stacked(run: "RunStatus") -> tuple[str, ...]:
    shown = f"{_kimg(run)} kimg" if run.kimg is not None else ""
    return (
        _folded(run.name, NAME_WIDTH),
        f"{run.standing}\n{run.health or ''}",
        f"{_steps(run)}\n{_percent(run)} {shown}",
        f"{_network(run)}\n{_folded(run.data or '', DATA_WIDTH)}",
        f"{_ago(run.active.timestamp())}\n{decimal(run.size_bytes)}",
    )


def _folded(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) or text


def _wrapped(text: str, start: str = "") -> str:
    """A text after its line's start, in lines that the terminal holds; words, which may be paths, stay whole."""
    further = " " * (len(start) or 2)
    width = max(_columns(), len(start) + 24)
    lines = textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) or start.rstrip()


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        print(f"\n{title}")
        listed(rows)


def _beside(title: str, rows: list[tuple[str, ...]], heads: tuple[str, ...]) -> None:
    """A table with a column a run; values that are long are broken."""
    if rows:
        room = _columns() - max(len(row[0]) for row in rows) - 2
        width = max(6, room // (len(heads) - 1) - 2)
        print(f"\n{title}")  # a table would wrap it to its own width
        table("", heads, [(row[0], *(_folded(cell, width) for cell in row[1:])) for row in rows])


def _changed(found: "RunSummary") -> list[tuple[str, str, str]]:
    usual = [f"(default {_value(each.default)})" if each.default is not None else "" for each in found.changed]
    return [(each.key, _value(each.value), note) for each, note in zip(found.changed, usual, strict=True)]


def _environment(environment: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for key, value in environment.items():
        if key == "command" and isinstance(value, list):
            rows.append(("command", shlex.join(["facegan", *map(str, value[1:])])))
        elif isinstance(value, dict):
            rows += [(f"{key}.{name}", str(origin)) for name, origin in value.items()]
        elif value is not None:
            rows.append((key, str(value)))
    return rows


def _length(found: "RunSummary") -> list[tuple[str, str]]:
    run, rows = found.standing, []
    if run.step is not None:
        rows.append(("steps", f"{_steps(run)}, {_percent(run)}"))
    if run.kimg is not None:
        epochs = f", {run.epoch:.2f} epochs of {run.num_images:,}" if run.epoch and run.num_images else ""
        rows.append(("shown", f"{run.kimg:,.1f} thousand images{epochs}"))
    if found.seconds is not None:
        rows.append(("training", duration(found.seconds)))
    if found.images_per_second is not None:
        rows.append(("speed", f"{found.images_per_second:,.0f} images/s"))
    return rows


def _steps(run: "RunStatus") -> str:
    if run.step is None:
        return "-"
    return f"{run.step}/{run.num_steps}" if run.num_steps else str(run.step)


def _percent(run: "RunStatus") -> str:
    return "" if run.share is None else f"{math.floor(100 * run.share)} %"


def _kimg(run: "RunStatus") -> str:
    return "-" if run.kimg is None else f"{run.kimg:,.{1 if run.kimg < 100 else 0}f}"


def _network(run: "RunStatus") -> str:
    return f"{run.architecture} {run.resolution}x{run.resolution}" if run.architecture else "-"


def _value(value: Any) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _value(value)


def _ago(moment: float) -> str:
    """How long ago something was, roughly."""
    seconds = max(0.0, time.time() - moment)
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now"
