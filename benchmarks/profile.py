"""Where the time of a training step goes, by kind of work.

    python benchmarks/profile.py [--device auto] [--steps 5] [--turns 2] [--trace FILE] [--set train.compile=true]

Runs of the product inside this process, in turns: one that is not watched, and one that is; the ratio of both says how
far watching distorts. On a CPU each operation of torch is timed as it is called, one after the other; of a
convolution's backward pass the gradient of the input and that of the weights are computed apart, as oneDNN does anyhow.
What remains of the step is Python, autograd and the memory between operations. On CUDA torch.profiler tells the
kernels; what is left is the time in which the device had nothing to do. There a transposed convolution's forward pass
is the same kernel as another's gradient of the input, and counts as such.

--trace writes what was seen as a Chrome trace (chrome://tracing, ui.perfetto.dev).
"""

import sys

if __name__ == "profile":
    # cProfile, which torch loads for its compiler, imports a module of this name and means the standard library's; a
    # script's own folder comes first in sys.path. It gets what it means, and nothing below is of use to it.
    import importlib.util
    import sysconfig

    _spec = importlib.util.spec_from_file_location("profile", f"{sysconfig.get_path('stdlib')}/profile.py")
    assert _spec is not None and _spec.loader is not None
    sys.modules["profile"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["profile"])

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import turns


def main() -> None:
    parser = turns.parser(__doc__, "profile", turns=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", help="what is trained on; default: drawn faces")
    parser.add_argument("--steps", type=int, default=0, help="watched in a turn; default: 5 on a CPU, 50 on CUDA")
    parser.add_argument("--trace", type=Path, help="a file for the trace of the last turn")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of the runs")
    options = parser.parse_args()
    import inside

    from facegan.config import resolve
    from facegan.devices import resolve_device

    device = resolve_device(options.device)
    steps = options.steps or (50 if device.type == "cuda" else 5)
    settings = [*options.settings, f"train.device={device}"]
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or inside.pictures(Path(folder), resolve(settings=settings).resolution)
        run = partial(
            inside.lap, settings, data, warm=60 if device.type == "cuda" else 2, enough=lambda done, _: done >= steps
        )
        watched = by_kernels if device.type == "cuda" else by_operations
        results = turns.alternate({"not watched": run, "watched": partial(watched, run, options.trace)}, options.turns)
    plain = [lap.milliseconds for lap in results["not watched"]]
    total = [sum(found.values()) for found in results["watched"]]
    kinds: dict[str, Any] = {}
    for kind in sorted({kind for found in results["watched"] for kind in found}):
        seconds = [found.get(kind, 0.0) for found in results["watched"]]
        kinds[kind] = {
            "milliseconds_a_step": turns.summary(1e3 * each / steps for each in seconds),
            "share": turns.ratios(seconds, total),
        }
    kinds = dict(sorted(kinds.items(), key=lambda each: -each[1]["share"]["median"]))
    distortion = turns.ratios([1e3 * each / steps for each in total], plain)
    turns.table(
        f"A step on {device}: {turns.in_words(turns.summary(plain))} ms; watched over not {turns.in_words(distortion)}",
        ("kind of work", "ms a step", "% of the step"),
        [
            (kind, turns.in_words(each["milliseconds_a_step"]), turns.in_words(each["share"], 100))
            for kind, each in kinds.items()
        ],
    )
    turns.write(options, {
        "device": str(device), "steps": steps, "settings": settings, "kinds": kinds,
        "milliseconds_a_step": turns.summary(plain), "watched_over_not_watched": distortion,
    })  # fmt: skip


def by_operations(run: Any, trace: Path | None) -> dict[str, float]:
    """Seconds of each kind of work on the CPU; they add up to the time on the clock."""
    import kinds

    watch = kinds.Operations()
    with watch.in_parts(), watch:
        lap = run(begin=lambda: setattr(watch, "watching", True), end=lambda: setattr(watch, "watching", False))
    if trace:
        watch.write_trace(trace)
    found: dict[str, float] = watch.seconds()
    return {**found, kinds.REST: lap.seconds - sum(found.values())}


def by_kernels(run: Any, trace: Path | None) -> dict[str, float]:
    """Seconds of each kind of kernel on a CUDA device, and of its waiting."""
    import kinds

    watch = kinds.Kernels()
    run(begin=watch.begin, end=watch.end)
    if trace:
        watch.write_trace(trace)
    found: dict[str, float] = watch.seconds()
    return found


if __name__ == "__main__":
    main()
