"""The grids of a run, in the order of its steps: which to show, and how far the run was at each."""

from collections.abc import Mapping, Sequence
from typing import Any

from .run_log import number


def evenly(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of the steps, evenly chosen: the last always, and the first when there is room for two."""
    if len(steps) <= most:
        return list(steps)
    if most == 1:
        return [steps[-1]]
    return [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]


def reached(records: Sequence[Mapping[str, Any]], step: int) -> tuple[float | None, float | None]:
    """How far a run was at a step: epochs and kimg, in proportion to the line of metrics nearest to it.

    None is what no line tells.
    """
    return _at(records, "epoch", step), _at(records, "kimg", step)


def _at(records: Sequence[Mapping[str, Any]], key: str, step: int) -> float | None:
    told = [(each["step"], value) for each in records if each["step"] > 0 and (value := number(each, key)) is not None]
    if not told:
        return None
    nearest, value = min(told, key=lambda each: abs(each[0] - step))
    return float(value * step / nearest)


def caption(records: Sequence[Mapping[str, Any]], step: int) -> str:
    """`step 1,000   epoch 2.35   64 kimg`, as far as it is known."""
    epoch, kimg = reached(records, step)
    parts = [f"step {step:,}"]
    parts += [f"epoch {epoch:.2f}"] if epoch is not None else []
    parts += [f"{kimg:,.0f} kimg" if kimg >= 10 or kimg == 0 else f"{kimg:.2f} kimg"] if kimg is not None else []
    return "   ".join(parts)
