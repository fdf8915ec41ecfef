"""Measure how the cost of a training step grows with the batch, the width and the size of the images.

    python benchmarks/scaling.py [--device auto] [--quick] [--seconds 10] [--turns 3] [--set train.compile=true]

One axis at a time changes around batches of 128, width 64 and 64 pixels: batches of 32 to 1024, widths of 32 to 128,
sizes of 32 to 128. Every point is a run of facegan inside this process, in turns, on drawn faces: some warm-up steps,
then as many as fit into --seconds, at least one. A point that does not fit into the memory is left out and reported.

For each point: milliseconds per step and images/s of the median, operations per second (see bound.py), and the time per
image relative to the middle point, divided by the same ratio of operations: 1 if the cost grows like the operations,
less if larger is cheaper. The exponent of an axis is the slope of log(milliseconds per step) over log(axis), shown with
that of the operations: a step of twice the width has about four times as many.
"""

import argparse
import math
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import turns

AXES = {"batch": (32, 64, 128, 256, 512, 1024), "width": (32, 64, 96, 128), "size": (32, 64, 128)}
QUICK = {"batch": (32, 128), "width": (32, 64), "size": (32, 64)}
MIDDLE = {"batch": 128, "width": 64, "size": 64}
Point = tuple[int, int, int]  # batch, width, size


def main() -> None:
    options = arguments().parse_args()
    from facegan.devices import resolve_device

    options.device = str(resolve_device(options.device))
    axes = QUICK if options.quick else AXES
    middle = tuple({**MIDDLE, **({"batch": 32} if options.quick else {})}.values())
    points = {
        axis: [tuple(value if i == place else each for i, each in enumerate(middle)) for value in values]
        for place, (axis, values) in enumerate(axes.items())
    }
    every = list(dict.fromkeys(point for each in points.values() for point in each))
    with tempfile.TemporaryDirectory() as data:
        sides = {
            "batch {}, width {}, size {}".format(*point): partial(measure, point, Path(data), options)
            for point in every
        }
        results = turns.alternate(sides, options.turns)
    measured = {
        point: {"milliseconds": turns.summary(times), "flops_a_step": flops(point, options)}
        for point, times in zip(every, results.values(), strict=True)
        if all(times)
    }
    document = {axis: along(place, points[axis], measured, middle) for place, axis in enumerate(AXES)}
    for axis, found in document.items():
        title = f"Along the {axis}: the time of a step grows with its power {found['exponent']:.2f}"
        turns.table(
            f"{title}, its operations with {found['exponent_of_operations']:.2f}",
            (axis, "ms a step", "images/s", "GFLOP/s", "time over operations, middle = 1"),
            [
                (
                    str(point[axis]), turns.in_words(point["milliseconds"]), point["images_per_second"],
                    point["flops_a_second"] / 1e9, point["time_over_operations"],
                )
                for point in found["points"]
            ],
        )  # fmt: skip
    left_out = [name for name, times in results.items() if not all(times)]
    if left_out:
        print("out of memory: " + "; ".join(left_out))
    turns.write(options, {"axes": document, "out_of_memory": left_out})


def measure(point: Point, data: Path, options: argparse.Namespace) -> float:
    """Return the milliseconds per step at a point; 0 if it does not fit into the memory."""
    import inside

    from facegan.errors import TrainingError

    warm = 60 if options.device.startswith("cuda") else 1  # the first steps record the captured iteration

    def enough(steps: int, seconds: float) -> bool:
        return seconds + seconds / steps > options.seconds

    try:
        return inside.lap(
            settings_of(point, options), inside.packed_faces(data, point[2]), warm=warm, enough=enough
        ).milliseconds
    except TrainingError as error:
        if "out of memory" not in str(error):
            raise
        return 0.0


def settings_of(point: Point, options: argparse.Namespace) -> list[str]:
    batch, width, size = point
    return [
        f"train.batch_size={batch}", f"architecture.ngf={width}", f"architecture.ndf={width}", f"resolution={size}",
        f"train.device={options.device}", *options.settings,
    ]  # fmt: skip


def flops(point: Point, options: argparse.Namespace) -> float:
    """Return the operations of a step."""
    import bound

    from facegan.config import resolve

    return point[0] * bound.flops_of(resolve(settings=settings_of(point, options)).complete())


def along(place: int, points: list[Point], measured: dict[Point, dict[str, Any]], middle: Point) -> dict[str, Any]:
    """Return the points of an axis, and the exponents of time and operations."""
    axis = list(AXES)[place]
    found = [point for point in points if point in measured]
    rows = []
    for point in found:
        seconds, operations = measured[point]["milliseconds"]["median"] / 1e3, measured[point]["flops_a_step"]
        there = measured.get(middle, measured[found[0]])
        ratio = seconds / (there["milliseconds"]["median"] / 1e3) / (operations / there["flops_a_step"])
        rows.append({
            axis: point[place], "milliseconds": measured[point]["milliseconds"],
            "images_per_second": point[0] / seconds, "flops_a_second": operations / seconds,
            "time_over_operations": ratio,
        })  # fmt: skip
    logs = [math.log(point[place]) for point in found]
    times = [math.log(measured[point]["milliseconds"]["median"]) for point in found]
    operations = [math.log(measured[point]["flops_a_step"]) for point in found]
    return {"points": rows, "exponent": slope(logs, times), "exponent_of_operations": slope(logs, operations)}


def slope(x: list[float], y: list[float]) -> float:
    """Return the slope of the least-squares line through the points; nan for fewer than two."""
    return statistics.linear_regression(x, y).slope if len(x) > 1 else math.nan


def arguments() -> argparse.ArgumentParser:
    parser = turns.parser(__doc__, "scaling")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=10, help="limit per point and turn")
    parser.add_argument("--quick", action="store_true", help="two points per axis, around batches of 32")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of all points")
    return parser


if __name__ == "__main__":
    main()
