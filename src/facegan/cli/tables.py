"""Tables for people: runs and evaluations. `--json` prints everything as a document instead."""

import math
import sys
import time
from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from .console import duration, escaping_console, print_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..evaluation import Result
    from ..storage.run_status import RunStatus
    from ..storage.run_summary import RunComparison, RunSummary

UNLIMITED = 10_000  # columns, where there is no terminal
NARROW = 100  # columns of a terminal in which a run takes two lines of the list
MAX_ATTRIBUTES = 8  # rows; all are in --json and in the plot

MEANINGS = {
    "loss/D": "loss of D: low when D is sure and right",
    "loss/D_real": "its part on training images",
    "loss/D_fake": "its part on images of G",
    "loss/G": "loss of G: high when D recognises its images",
    "score/real": "D(x): how real D finds training images, 0 to 1; 0.50 is balance",
    "score/fake": "D(G(z)): how real D finds images of G; near 0 for long, D has won",
    "spread/real": "how much training images differ from each other",
    "spread/fake": "how much images of G do; far less than the real ones is collapse",
    "slope/real": "the mean squared slope of D at training images, which the penalty keeps low",
    "slope/fake": "the same at images of G",
}
# Losses of D and of G when D can only guess: multiples of -ln(1/2).
GUESSING = {"nonsaturating": ("1.39", "0.69"), "saturating": ("1.39", "-0.69"), "relativistic": ("0.69", "0.69")}
SHOWN_ELSEWHERE = ("step", "epoch", "kimg", "seconds", "images_per_second", "health")
BETTER = {"lower": "lower", "higher": "higher", "nearer": "near real"}
NOTE = "real/real: real images in place of the evaluated ones; ratio: the value of as many evaluated ones, over it."

Evaluations = Sequence[Sequence["Result"]]  # of each model, in the order that was asked for


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; long cells are folded to the terminal, and stay in one piece where there is none."""
    from rich.table import Table
    from rich.text import Text

    if title:
        _print(Text(title, "bold"))
    table = Table(box=None, pad_edge=False)
    for head in columns:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    _print(table)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned, indented columns; only the last is folded, so that commands can be copied."""
    from rich.padding import Padding
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    *first, _ = rows[0]
    for _ in first:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    widest = [max(map(len, cells)) + 2 for cells in zip(*rows, strict=True)]
    _print(Padding.indent(table, 2), min_width=sum(widest[:-1]) + 26)


def print_runs(found: "Sequence[RunStatus]") -> None:
    """Print a line for each run, or two where the terminal is narrow; then their problems."""
    rows: list[tuple[str, ...]] = []
    is_narrow = _console().width < NARROW
    for run in found:
        about, data, health = _words(run), run.data or "-", run.health or "-"
        steps, share, kimg, network, ago, size = about.values()
        if is_narrow:
            done = f"{steps}\n{share} {kimg} kimg" if kimg != "-" else steps
            rows.append((run.name, f"{run.standing}\n{health}", done, f"{network}\n{data}", f"{ago}\n{size}"))
        else:
            rows.append((run.name, run.standing, steps, share, kimg, data, network, ago, size, health))
    heads = "run", "status", "steps", "", "kimg", "data", "network", "written", "size", "health"
    if rows:
        print_lines()
        print_table("", ("run", "status", "steps", "trains", "written") if is_narrow else heads, rows)
    _print_section("", [(f"{run.name}: {run.reason}",) for run in found if run.reason])


def print_run(found: "RunSummary", *, verified: bool) -> None:
    """Print all about a run, section by section, without empty sections."""
    from ..api.reports import next_commands
    from ..training.diagnostics import ADVICE

    run, metrics = found.standing, found.metrics or {}
    about = _words(run)
    done = "" if run.step is None else f" at step {about['steps'].replace('/', ' of ')}"
    share = f" ({about['share']})" if about["share"] else ""
    print_lines(f"{run.path}: {run.standing}{done}{share}, last written {about['ago']}")
    if run.reason or run.standing == "stopped":
        print_lines(run.reason or "stopped cleanly: everything was saved")
    changed = [
        (each.key, _value(each.value), "" if each.default is None else f"(default {_value(each.default)})")
        for each in found.changed
    ]
    _print_section("Settings that are not the defaults", changed)
    later = [(f"after step {each.step:,}", str(each)) for each in found.changes]
    _print_section("Settings changed by resuming", later)
    _print_section("Started with", [(key, str(value)) for key, value in found.flat_environment().items()])
    epochs = f", {run.epoch:.2f} epochs of {run.num_images:,}" if run.epoch and run.num_images else ""
    length = {
        "steps": f"{about['steps']}, {about['share']}" if run.step is not None else "",
        "shown": f"{run.kimg:,.1f} thousand images{epochs}" if run.kimg is not None else "",
        "training": duration(found.seconds) if found.seconds is not None else "",
        "speed": f"{found.images_per_second:,.0f} images/s" if found.images_per_second is not None else "",
    }
    _print_section("Length and speed", [(key, text) for key, text in length.items() if text])
    numbers = {key: f"{value:.3f}" for key, value in metrics.items() if isinstance(value, float)}
    guesses = dict(zip(("loss/D", "loss/G"), GUESSING.get(found.settings.get("loss.name", ""), ()), strict=False))
    meanings = MEANINGS | {key: f"{MEANINGS[key]}; {value} when D only guesses" for key, value in guesses.items()}
    rows = [(key, text, meanings.get(key, "")) for key, text in numbers.items() if key not in SHOWN_ELSEWHERE]
    _print_section(f"Metrics of the last tick, step {metrics.get('step')}", rows)
    spans = [
        (each.health, f"steps {each.first:,} to {each.last:,}", f"{each.num_ticks:,} ticks") for each in found.health
    ]
    _print_section("Health", spans)
    if spans and (advice := ADVICE.get(spans[-1][0])):
        print_rows([(advice,)])
    valid = "valid" if verified else "valid by its header"
    outcomes = [(file, file.problem or valid) for file in found.files] + [(file, file.why) for file in found.leftovers]
    files = [(str(file.path.relative_to(run.path)), decimal(file.size_bytes), outcome) for file, outcome in outcomes]
    _print_section("Snapshots, to use, and states, to resume", files)
    if best := found.best:
        row = str(best.path.relative_to(run.path)), f"{best.metric} {best.value:.4g}", f"on {best.num_images:,} faces"
        _print_section("Best snapshot of the evaluations during training", [row])
    _print_section("Look at", [(str(path),) for path in found.look])
    _print_section("Next", next_commands(found))


def print_comparison(found: "RunComparison") -> None:
    """Print runs side by side."""
    rows: list[Sequence[str]] = []
    for letter, run in zip(ascii_uppercase, found.runs, strict=False):
        steps, _, kimg, network, *_ = _words(run).values()
        rows.append((letter, str(run.path), run.standing, steps, kimg, network))
    print_table("", ("", "run", "status", "steps", "kimg", "network"), rows)
    print_lines()
    heads = ascii_uppercase[: len(found.runs)]
    if found.settings:
        rows = [(key, *map(_value, values)) for key, values in found.settings.items()]
        print_table("Settings that differ", ("setting", *heads), rows)
    else:
        print_lines("No setting differs.")
    if found.metrics:
        print_lines()
        print_table("Last tick", ("", *heads), [(key, *map(_number, each)) for key, each in found.metrics.items()])
    for twins in found.twins:
        *most, last = [ascii_uppercase[place] for place in twins.runs]
        outcome = "have no snapshot of the same step to compare"
        if twins.identical is not None:
            outcome = f"{'are the same to the bit' if twins.identical else 'differ'} at step {twins.step:,}"
        print_lines("", f"Weights: {', '.join(most)} and {last}, whose settings should make the same, {outcome}.")


def print_evaluations(evaluated: Evaluations) -> None:
    """Print the results of one model or of several, metric by metric, then titles, comparability and protocols."""
    by_metric: dict[str, list[Result]] = {}
    for each in (each for results in evaluated for each in results):
        by_metric.setdefault(each.metric, []).append(each)
    ordered = [each for results in by_metric.values() for each in results]
    label, heads = _label_of(ordered[0]), ["metric", "better", "value", "95 % interval", "real/real", "ratio"]
    rows = [[each.metric, BETTER.get(each.better, each.better), *_numbers_of(each)] for each in ordered]
    if len(evaluated) > 1:
        rows = [[*row[:2], _label_of(each), *row[2:]] for row, each in zip(rows, ordered, strict=True)]
        label, heads = "", [*heads[:2], "model", *heads[2:]]
    print_table(label, heads, rows)
    for each in by_metric.get("attributes", ()):
        _print_attributes(each)
    firsts = [results[0] for results in by_metric.values()]
    _print_section("", [(each.metric, each.title) for each in firsts])
    spaces: dict[str, list[str]] = {}
    for each in firsts:
        about = each.protocol
        spaces.setdefault(f"{about['extractor']}; comparable: {about['comparable']}", []).append(each.metric)
    notes = [f"{', '.join(keys)}: {words}" for words, keys in spaces.items()]
    notes += [NOTE] if any(each.floor for each in firsts) else []
    _print_section("", [(note,) for note in notes])
    _print_section("", [(line,) for line in dict.fromkeys(map(_protocol_of, ordered))])


def _console() -> "Console":
    """Return a console on the current stdout; a file or pipe has no limit of width."""
    console = escaping_console()
    if not console.is_terminal:
        console.width = UNLIMITED
    return console


def _print(content: "RenderableType", min_width: int = 0) -> None:
    """Print without the spaces with which a table fills its last column."""
    console = _console()
    console.width = max(console.width, min_width)
    with console.capture() as capture:
        console.print(content)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _print_section(title: str, rows: Sequence[Sequence[str]]) -> None:
    if rows:
        print_lines("", *[title] * bool(title))
        print_rows(rows)


def _words(run: "RunStatus") -> dict[str, str]:
    """Return the numbers of a run for people; - for those that are unknown."""
    total = f"/{run.num_steps}" if run.num_steps else ""
    return {
        "steps": "-" if run.step is None else f"{run.step}{total}",
        "share": "" if run.share is None else f"{math.floor(100 * run.share)} %",
        "kimg": "-" if run.kimg is None else f"{run.kimg:,.{1 if run.kimg < 100 else 0}f}",
        "network": f"{run.architecture} {run.resolution}x{run.resolution}" if run.architecture else "-",
        "ago": _ago(run.active.timestamp()),
        "size": decimal(run.size_bytes),
    }


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


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


def _print_attributes(result: "Result") -> None:
    """Print the attributes whose shares among generated and real faces differ most."""
    from ..evaluation.metrics.attributes import rows

    details = result.details
    chance = details.get("by_chance")
    by_chance = f"; {_short(chance['value'])} by chance" if chance else ""
    title = f"Attributes of {_label_of(result)}: {_short(result.value)}{by_chance}"
    print_lines()
    print_table(title, ("attribute", "real", "generated", "ratio"), rows(details, limit=MAX_ATTRIBUTES))
    if (more := len(details["attributes"]) - MAX_ATTRIBUTES) > 0:
        print_lines(f"{more} attributes differ less: --plot bars.png draws them, --json has all")
    print_lines(f"combinations of two that real faces have, and generated ones hardly ever: {details['num_missed']:,}")


def _numbers_of(result: "Result") -> tuple[str, str, str, str]:
    """Return value, interval, real against real, and ratio."""
    floor = result.floor
    interval = "-" if result.interval is None else " to ".join(map(_number, result.interval))
    ratio = "-" if floor is None or floor.ratio is None else f"{floor.ratio:.3g}"
    return _short(result.value), interval, "-" if floor is None else _short(floor.value), ratio


def _protocol_of(result: "Result") -> str:
    about = result.protocol
    side = f"{about['resolution']}x{about['resolution']}"
    return (
        f"{result.num_fake:,} evaluated, {result.num_real:,} real of {about['real']}; {side}, crop {about['crop']}, "
        f"{about['filter']}; {about['device']}, seed {about['seed']}"
    )


def _label_of(result: "Result") -> str:
    """Return the run, the step and, where it is not the average, the weights."""
    step = "" if result.step is None else f", step {result.step:,}"
    return f"{result.subject}{step}{', raw' if result.weights == 'G' else ''}"


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
