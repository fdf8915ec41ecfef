"""Measure where the time of a training step goes, by kind of work.

    python benchmarks/profile.py [--device auto] [--steps 5] [--turns 2] [--trace FILE] [--set train.compile=true]

Runs of facegan inside this process, in turns: one without and one with profiling; the ratio of both shows how much
profiling distorts. On a CPU each torch operation is timed as it is called, one after the other; the backward pass of a
convolution is computed separately for the input and for the weights, as oneDNN does anyway. The rest of the step is
Python, autograd and the memory between operations. On CUDA, torch.profiler reports the kernels; the rest is the time in
which the device was idle. There the forward pass of a transposed convolution is the same kernel as the input gradient
of another, and counts as such.

--trace writes the profile as a Chrome trace (chrome://tracing, ui.perfetto.dev).
"""

import sys

if __name__ == "profile":
    # torch's compiler loads cProfile, which imports `profile` and means the standard library's module, but the script's
    # own folder comes first in sys.path. Give it the standard library's module.
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
    parser.add_argument("--data", help="the images; default: drawn faces")
    parser.add_argument("--steps", type=int, default=0, help="profiled steps per turn; default: 5 on a CPU, 50 on CUDA")
    parser.add_argument("--trace", type=Path, help="file for the trace of the last turn")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of the runs")
    options = parser.parse_args()
    import inside

    from facegan.config import resolve
    from facegan.devices import resolve_device

    device = resolve_device(options.device)
    steps = options.steps or (50 if device.type == "cuda" else 5)
    settings = [*options.settings, f"train.device={device}"]
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or inside.packed_faces(Path(folder), resolve(settings=settings).resolution)
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
    """Return the seconds of each kind of work on the CPU; their sum is the wall-clock time."""
    import kinds

    watch = kinds.Operations()
    with watch.in_parts(), watch:
        lap = run(begin=lambda: setattr(watch, "watching", True), end=lambda: setattr(watch, "watching", False))
    if trace:
        watch.write_trace(trace)
    found: dict[str, float] = watch.seconds()
    return {**found, kinds.REST: lap.seconds - sum(found.values())}


def by_kernels(run: Any, trace: Path | None) -> dict[str, float]:
    """Return the seconds of each kind of kernel on a CUDA device, and of its idle time."""
    import kinds

    watch = kinds.Kernels()
    run(begin=watch.begin, end=watch.end)
    if trace:
        watch.write_trace(trace)
    found: dict[str, float] = watch.seconds()
    return found


if __name__ == "__main__":
    main()
