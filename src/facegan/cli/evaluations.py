"""What `facegan evaluate` says of its results, in tables for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import table
from .telling import listed

if TYPE_CHECKING:
    from ..evaluation import Result

MOST_ATTRIBUTES = 8  # rows; all are in --json and in the plot
MOST_COLUMNS = 3  # models side by side; more stand below each other
BETTER = {"lower": "lower", "higher": "higher", "nearer": "near real"}
NOTE = "real/real: real images in the place of the judged ones; ratio: the judged ones' value on as many, over it."

Judged = Sequence[Sequence["Result"]]  # of each model, in the order that was asked for


def tell_results(judged: Judged) -> None:
    """Results of one model or of several, then what they mean and depend on."""
    if len(judged) == 1:
        heads = "metric", "better", "value", "95 % interval", "real/real", "ratio"
        table(_label(judged[0][0]), heads, [_row(each) for each in judged[0]])
    elif len(judged) <= MOST_COLUMNS:
        _side_by_side(judged)
    else:
        _one_below_the_other(judged)
    for results in judged:
        for each in results:
            if each.metric == "attributes":
                _tell_attributes(each)
    _tell_meaning(judged)


def _tell_attributes(result: "Result") -> None:
    """The attributes of which generated and real faces have the most different shares."""
    from ..evaluation.metrics.attributes import rows

    details = result.details
    chance = details.get("by_chance")
    beside = f"; {_number(chance['value'])} by chance" if chance else ""
    print()
    table(
        f"Attributes of {_label(result)}: {_number(result.value)}{beside}",
        ("attribute", "real", "generated", "ratio"),
        rows(details, limit=MOST_ATTRIBUTES),
    )
    if (more := len(details["attributes"]) - MOST_ATTRIBUTES) > 0:
        print(f"{more} attributes differ less: --plot bars.png draws them, --json has all")
    print(f"combinations of two that real faces have, and generated ones hardly ever: {details['num_missed']:,}")


def _row(result: "Result") -> tuple[str, ...]:
    return result.metric, BETTER.get(result.better, result.better), *_numbers(result)


def _numbers(result: "Result") -> tuple[str, str, str, str]:
    """Value, interval, real against real, ratio."""
    floor = result.floor
    ratio = "-" if floor is None or floor.ratio is None else f"{floor.ratio:.3g}"
    return _number(result.value), _interval(result), "-" if floor is None else _number(floor.value), ratio


def _side_by_side(judged: Judged) -> None:
    """A column a model: value, interval, and real against real with the ratio, below each other."""
    rows = []
    for key in _keys(judged):
        cells = []
        for results in judged:
            found = next((each for each in results if each.metric == key), None)
            if found is None:
                cells.append("-")
                continue
            value, interval, floor, ratio = _numbers(found)
            lines = [value] if interval == "-" else [value, interval]
            cells.append("\n".join([*lines, *([f"real {floor}, {ratio} x"] if found.floor else []), ""]))
        rows.append((f"{key}\n{BETTER[_first(judged, key).better]}", *cells))
    table("", ("", *(_label(results[0]) for results in judged)), rows)


def _one_below_the_other(judged: Judged) -> None:
    """A table a metric, a row a model."""
    for place, key in enumerate(_keys(judged)):
        rows = [(_label(each), *_numbers(each)) for results in judged for each in results if each.metric == key]
        print(end="\n" if place else "")
        title = f"{key} ({BETTER[_first(judged, key).better]} is better)"
        table(title, ("", "value", "95 % interval", "real/real", "ratio"), rows)


def _tell_meaning(judged: Judged) -> None:
    """What the keys stand for, what the numbers may be compared with, and what they depend on."""
    print()
    firsts = [_first(judged, key) for key in _keys(judged)]
    listed([(each.metric, each.title) for each in firsts])
    spaces: dict[str, list[str]] = {}
    for each in firsts:
        about = each.protocol
        spaces.setdefault(f"{about['extractor']}; comparable: {about['comparable']}", []).append(each.metric)
    print()
    for words, keys in spaces.items():
        listed([(f"{', '.join(keys)}: {words}",)])
    if any(each.floor for each in firsts):
        listed([(NOTE,)])
    print()
    for line in dict.fromkeys(_protocol(each) for results in judged for each in results):
        listed([(line,)])


def _protocol(result: "Result") -> str:
    about = result.protocol
    side = f"{about['resolution']}x{about['resolution']}"
    return (
        f"{result.num_fake:,} judged, {result.num_real:,} real of {about['real']}; {side}, crop {about['crop']}, "
        f"{about['filter']}; {about['device']}, seed {about['seed']}"
    )


def _keys(judged: Judged) -> list[str]:
    return list(dict.fromkeys(each.metric for results in judged for each in results))


def _first(judged: Judged, key: str) -> "Result":
    return next(each for results in judged for each in results if each.metric == key)


def _label(result: "Result") -> str:
    """A model: its run, the step and, where it is not the average, whose weights."""
    step = "" if result.step is None else f", step {result.step:,}"
    return f"{result.subject}{step}{', raw' if result.weights == 'G' else ''}"


def _interval(result: "Result") -> str:
    return "-" if result.interval is None else " to ".join(map(_number, result.interval))


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
