"""Tables for people: runs and evaluations. `--json` prints everything as a document instead."""

import io
import math
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .console import duration

if TYPE_CHECKING:
    from ..evaluation import Result
    from ..storage.run_status import RunStatus
    from ..storage.run_summary import RunComparison, RunSummary

UNLIMITED = 10_000  # columns, where there is no terminal
NAME_WIDTH, DATA_WIDTH = 20, 16  # characters in a narrow table, before a name is broken
MAX_ATTRIBUTES = 8  # rows; all are in --json and in the plot
MAX_MODELS = 3  # side by side; more are below each other

# Loss and score of a D that can only guess are those of logistic losses: -2 ln(1/2), -ln(1/2) and 1/2.
MEANINGS = {
    "loss/D": "loss of D: low when D is sure and right; 1.39 when it only guesses",
    "loss/D_real": "its part on training images",
    "loss/D_fake": "its part on images of G",
    "loss/G": "loss of G: high when D recognises its images; 0.69 when D only guesses",
    "score/real": "D(x): how real D finds training images, 0 to 1; 0.50 is balance",
    "score/fake": "D(G(z)): how real D finds images of G; near 0 for long, D has won",
    "spread/real": "how much training images differ from each other",
    "spread/fake": "how much images of G do; far less than the real ones is collapse",
}
SHOWN_ELSEWHERE = ("step", "epoch", "kimg", "seconds", "images_per_second", "health")
BETTER = {"lower": "lower", "higher": "higher", "nearer": "near real"}
NOTE = "real/real: real images in place of the evaluated ones; ratio: the value of as many evaluated ones, over it."

Evaluations = Sequence[Sequence["Result"]]  # of each model, in the order that was asked for


def print_table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Print a table; as wide as its content where there is no terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    stdout = Console(highlight=False, markup=False)
    if stdout.is_terminal:
        stdout.print(table)
        return
    text = io.StringIO()
    Console(highlight=False, markup=False, width=1000, file=text).print(table)
    print(*(line.rstrip() for line in text.getvalue().splitlines()), sep="\n")


def print_rows(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in aligned columns without a heading, indented; the last column is wrapped to the terminal."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        start = "  " + "".join(cell.ljust(width) + "  " for cell, width in zip(row[:-1], widths, strict=False))
        print(_wrap(row[-1], start))


def decimal(size_bytes: int) -> str:
    """Format a size as 1.2 MB."""
    from rich import filesize

    return filesize.decimal(size_bytes)


def print_runs(found: "Sequence[RunStatus]") -> None:
    """Print a line for each run, or two where the terminal is too narrow; then what is wrong with any."""
    lines = [_line_of(run) for run in found]
    widths = [max(len(line) for cell in cells for line in cell.split("\n")) for cells in zip(*lines, strict=True)]
    print(end="\n" if found else "")
    if sum(widths) + 2 * (len(widths) - 1) > _columns():
        print_table("", ("run", "status", "steps", "trains", "written"), [_stacked(run) for run in found])
    elif found:
        heads = "run", "status", "steps", "", "kimg", "data", "network", "written", "size", "health"
        print_table("", heads, list(lines))
    problems = [f"{run.name}: {run.reason}" for run in found if run.reason]
    print(end="\n" if problems else "")
    for text in problems:
        print(_wrap(text))


def print_run(found: "RunSummary", *, verified: bool) -> None:
    """Print all about a run, section by section, without empty sections."""
    from ..api.reports import next_commands
    from ..training.diagnostics import ADVICE

    run = found.standing
    done = "" if run.step is None else f" at step {_steps(run).replace('/', ' of ')}"
    share = "" if run.share is None else f" ({_percent(run)})"
    print(f"{run.path}: {run.standing}{done}{share}, last written {_ago(run.active.timestamp())}")
    if run.reason:
        print(run.reason)
    elif run.standing == "stopped":
        print("stopped cleanly: everything was saved")
    _print_section("Settings that are not the defaults", _changed(found))
    _print_section("Started with", _environment(found.environment))
    _print_section("Length and speed", _length(found))
    metrics = found.metrics or {}
    rows = [
        (key, f"{value:.3f}", MEANINGS.get(key, ""))
        for key, value in metrics.items()
        if key not in SHOWN_ELSEWHERE and isinstance(value, float)
    ]
    _print_section(f"Metrics of the last tick, step {metrics.get('step')}", rows)
    spans = [
        (each.health, f"steps {each.first:,} to {each.last:,}", f"{each.num_ticks:,} ticks") for each in found.health
    ]
    _print_section("Health", spans)
    if spans and (advice := ADVICE.get(spans[-1][0])):
        print(_wrap(advice, "  "))
    valid = "valid" if verified else "valid by its header"
    outcomes = [(file, file.problem or valid) for file in found.files] + [(file, file.why) for file in found.leftovers]
    files = [(str(file.path.relative_to(run.path)), decimal(file.size_bytes), outcome) for file, outcome in outcomes]
    _print_section("Snapshots, to use, and states, to resume", files)
    if best := found.best:
        row = str(best.path.relative_to(run.path)), f"{best.metric} {best.value:.4g}", f"on {best.num_images:,} faces"
        _print_section("Best snapshot of the evaluations during training", [row])
    _print_section("Look at", [(str(path),) for path in found.look])
    _print_section("Next", next_commands(found))


def letter(place: int) -> str:
    """Return the letter of a run in a comparison: A, B, ..."""
    return chr(ord("A") + place)


def print_comparison(found: "RunComparison") -> None:
    """Print runs side by side."""
    letters = [letter(place) for place in range(len(found.runs))]
    rows = [
        (mark, str(run.path), run.standing, _steps(run), _kimg(run), _network(run))
        for mark, run in zip(letters, found.runs, strict=True)
    ]
    print_table("", ("", "run", "status", "steps", "kimg", "network"), rows)
    settings = [(key, *(_value(value) for value in values)) for key, values in found.settings.items()]
    _print_columns("Settings that differ", settings, ("setting", *letters))
    if not settings:
        print("\nNo setting differs.")
    metrics = [(key, *(_number(value) for value in values)) for key, values in found.metrics.items()]
    _print_columns("Last tick", metrics, ("", *letters))
    for twins in found.twins:
        *most, last = [letters[place] for place in twins.runs]
        marks = f"{', '.join(most)} and {last}"
        if twins.identical is None:
            outcome = "have no snapshot of the same step to compare"
        else:
            outcome = f"{'are the same to the bit' if twins.identical else 'differ'} at step {twins.step:,}"
        print("\n" + _wrap(f"Weights: {marks}, whose settings should make the same, {outcome}."))


def _line_of(run: "RunStatus") -> tuple[str, ...]:
    name = _fold(run.name, NAME_WIDTH) if sys.stdout.isatty() else run.name
    return (
        name, run.standing, _steps(run), _percent(run), _kimg(run), run.data or "-", _network(run),
        _ago(run.active.timestamp()), decimal(run.size_bytes), run.health or "-",
    )  # fmt: skip


def _stacked(run: "RunStatus") -> tuple[str, ...]:
    shown = f"{_kimg(run)} kimg" if run.kimg is not None else ""
    return (
        _fold(run.name, NAME_WIDTH),
        f"{run.standing}\n{run.health or ''}",
        f"{_steps(run)}\n{_percent(run)} {shown}",
        f"{_network(run)}\n{_fold(run.data or '', DATA_WIDTH)}",
        f"{_ago(run.active.timestamp())}\n{decimal(run.size_bytes)}",
    )


def _fold(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) or text


def _wrap(text: str, start: str = "") -> str:
    """Wrap a text to the terminal, after the start of its first line; long words may be paths and stay in one piece."""
    further = " " * (len(start) or 2)
    width = max(_columns(), len(start) + 24)
    lines = textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) or start.rstrip()


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED


def _print_section(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        print(f"\n{title}")
        print_rows(rows)


def _print_columns(title: str, rows: list[tuple[str, ...]], heads: tuple[str, ...]) -> None:
    """Print a table with a column for each run; long values are broken."""
    if rows:
        room = _columns() - max(len(row[0]) for row in rows) - 2
        width = max(6, room // (len(heads) - 1) - 2)
        print(f"\n{title}")  # a table would wrap it to its own width
        print_table("", heads, [(row[0], *(_fold(cell, width) for cell in row[1:])) for row in rows])


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
    """Format roughly how long ago a moment was."""
    seconds = max(0.0, time.time() - moment)
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now"


def print_evaluations(evaluated: Evaluations) -> None:
    """Print the results of one model or of several, then what they mean and depend on."""
    if len(evaluated) == 1:
        heads = "metric", "better", "value", "95 % interval", "real/real", "ratio"
        print_table(_label_of(evaluated[0][0]), heads, [_row_of(each) for each in evaluated[0]])
    elif len(evaluated) <= MAX_MODELS:
        _side_by_side(evaluated)
    else:
        _one_below_the_other(evaluated)
    for results in evaluated:
        for each in results:
            if each.metric == "attributes":
                _print_attributes(each)
    _print_meaning(evaluated)


def _print_attributes(result: "Result") -> None:
    """Print the attributes whose shares among generated and real faces differ most."""
    from ..evaluation.metrics.attributes import rows

    details = result.details
    chance = details.get("by_chance")
    by_chance = f"; {_short(chance['value'])} by chance" if chance else ""
    print()
    print_table(
        f"Attributes of {_label_of(result)}: {_short(result.value)}{by_chance}",
        ("attribute", "real", "generated", "ratio"),
        rows(details, limit=MAX_ATTRIBUTES),
    )
    if (more := len(details["attributes"]) - MAX_ATTRIBUTES) > 0:
        print(f"{more} attributes differ less: --plot bars.png draws them, --json has all")
    print(f"combinations of two that real faces have, and generated ones hardly ever: {details['num_missed']:,}")


def _row_of(result: "Result") -> tuple[str, ...]:
    return result.metric, BETTER.get(result.better, result.better), *_numbers_of(result)


def _numbers_of(result: "Result") -> tuple[str, str, str, str]:
    """Return value, interval, real against real, and ratio."""
    floor = result.floor
    ratio = "-" if floor is None or floor.ratio is None else f"{floor.ratio:.3g}"
    return _short(result.value), _interval(result), "-" if floor is None else _short(floor.value), ratio


def _side_by_side(evaluated: Evaluations) -> None:
    """Print a column for each model: value, interval, and real against real with the ratio."""
    rows = []
    for key in _keys(evaluated):
        cells = []
        for results in evaluated:
            found = next((each for each in results if each.metric == key), None)
            if found is None:
                cells.append("-")
                continue
            value, interval, floor, ratio = _numbers_of(found)
            lines = [value] if interval == "-" else [value, interval]
            cells.append("\n".join([*lines, *([f"real {floor}, {ratio} x"] if found.floor else []), ""]))
        rows.append((f"{key}\n{BETTER[_first(evaluated, key).better]}", *cells))
    print_table("", ("", *(_label_of(results[0]) for results in evaluated)), rows)


def _one_below_the_other(evaluated: Evaluations) -> None:
    """Print a table for each metric, a row for each model."""
    for place, key in enumerate(_keys(evaluated)):
        measured = [each for results in evaluated for each in results if each.metric == key]
        rows = [(_label_of(each), *_numbers_of(each)) for each in measured]
        print(end="\n" if place else "")
        title = f"{key} ({BETTER[_first(evaluated, key).better]} is better)"
        print_table(title, ("", "value", "95 % interval", "real/real", "ratio"), rows)


def _print_meaning(evaluated: Evaluations) -> None:
    """Print what the keys mean, what the numbers may be compared with, and what they depend on."""
    print()
    firsts = [_first(evaluated, key) for key in _keys(evaluated)]
    print_rows([(each.metric, each.title) for each in firsts])
    spaces: dict[str, list[str]] = {}
    for each in firsts:
        about = each.protocol
        spaces.setdefault(f"{about['extractor']}; comparable: {about['comparable']}", []).append(each.metric)
    print()
    for words, keys in spaces.items():
        print_rows([(f"{', '.join(keys)}: {words}",)])
    if any(each.floor for each in firsts):
        print_rows([(NOTE,)])
    print()
    for line in dict.fromkeys(_protocol_of(each) for results in evaluated for each in results):
        print_rows([(line,)])


def _protocol_of(result: "Result") -> str:
    about = result.protocol
    side = f"{about['resolution']}x{about['resolution']}"
    return (
        f"{result.num_fake:,} evaluated, {result.num_real:,} real of {about['real']}; {side}, crop {about['crop']}, "
        f"{about['filter']}; {about['device']}, seed {about['seed']}"
    )


def _keys(evaluated: Evaluations) -> list[str]:
    return list(dict.fromkeys(each.metric for results in evaluated for each in results))


def _first(evaluated: Evaluations, key: str) -> "Result":
    return next(each for results in evaluated for each in results if each.metric == key)


def _label_of(result: "Result") -> str:
    """Return the run, the step and, where it is not the average, the weights."""
    step = "" if result.step is None else f", step {result.step:,}"
    return f"{result.subject}{step}{', raw' if result.weights == 'G' else ''}"


def _interval(result: "Result") -> str:
    return "-" if result.interval is None else " to ".join(map(_number, result.interval))


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
