"""Code shared by the benchmarks: sides that take turns, medians and spread, a table on the screen and a JSON file.

A machine's speed drifts, above all a shared one's. Two sides are therefore compared only within one turn: each turn
runs every side once, every second turn in reverse order (A B, B A, A B, ...), and a ratio divides two times of one
turn.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Spent:
    """The resources and the output of a finished process."""

    seconds: float  # wall-clock time, from before its start to its end
    cpu_seconds: float  # user and system time of all its threads and children
    peak_mb: float  # peak resident memory
    output: str


def parser(doc: str | None, name: str, *, turns: int = 3) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has; `doc` is the text of --help."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--turns", type=int, default=turns, help=f"runs of each side (default: {turns})")
    options.add_argument("--out", type=Path, default=Path("benchmark-results"), help="folder of the results")
    options.add_argument("--json", type=Path, default=Path(f"{name}.json"), help="their file in it, or a path")
    return options


def refuse(text: str) -> None:
    """Print why nothing can be measured, and exit with code 2."""
    print(text, file=sys.stderr)
    raise SystemExit(2)


def process(*command: object, env: Mapping[str, str] | None = None) -> Spent:
    """Run a Python process to its end: `process("-m", "facegan", "--help")`; a failure ends the benchmark."""
    words = [sys.executable, *(str(word) for word in command)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begin = time.perf_counter()
        child = subprocess.Popen(words, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        seconds = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if status:
            last = "\n".join(err.read().splitlines()[-5:])
            raise SystemExit(f"{' '.join(words[1:])}: failed with exit code {child.returncode}\n{last}")
        return Spent(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read())


def alternate(
    sides: Mapping[str, Callable[[], T]], turns: int, *, between: Callable[[], None] = lambda: None
) -> dict[str, list[T]]:
    """Run the sides in turns and return the results of each side, in order.

    Args:
        sides: Run in this order in odd turns, in reverse order in even turns.
        turns: Number of turns.
        between: Called before each turn, to measure something else.
    """
    results: dict[str, list[T]] = {name: [] for name in sides}
    for turn in range(turns):
        between()
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            begin = time.perf_counter()
            results[name].append(sides[name]())
            note(f"turn {turn + 1} of {turns}: {name}, {time.perf_counter() - begin:.1f} s")
    return results


def note(text: str) -> None:
    """Print a line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def summary(values: Iterable[float], digits: int = 4) -> dict[str, Any]:
    """Return median, minimum, maximum and all values, rounded to `digits` significant digits."""
    each = [_rounded(value, digits) for value in values]
    return {"median": _rounded(statistics.median(each), digits), "least": min(each), "most": max(each), "each": each}


def ratios(over: Sequence[float], under: Sequence[float]) -> dict[str, Any]:
    """Return the summary of the ratios of two sides, turn by turn."""
    return summary(a / b for a, b in zip(over, under, strict=True))


def in_words(values: Mapping[str, Any], scale: float = 1) -> str:
    """Format a summary for a table: the median, with minimum and maximum in brackets."""
    middle, least, most = (_plain(_rounded(values[key] * scale, 3)) for key in ("median", "least", "most"))
    return middle + (f" [{least}–{most}]" if len(values["each"]) > 1 else "")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with right-aligned numbers."""
    shown = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        shown.add_column(column, justify="right" if place else "left")
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, str) else _plain(cell) for cell in row))
    console = Console()
    console.width = console.width if console.is_terminal else 140
    console.print(shown)


def write(options: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """Write the result as JSON together with the environment, and print the path."""
    path = options.out / options.json
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"benchmark": Path(sys.argv[0]).stem, "arguments": sys.argv[1:], "environment": environment(), **result}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    note(f"written: {path}")


def environment() -> dict[str, Any]:
    """Return the machine and the versions. Does not load torch; reports the GPU if torch is loaded already."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "threads_environment": {key: os.environ[key] for key in THREADS if key in os.environ},
        "gpu": gpu,
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "torchvision", "facegan", "numpy", "pillow")},
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def surroundings(threads: int = 0, **variables: str) -> dict[str, str]:
    """Return the environment of a child process; `threads` limits its threads, 0 allows all cores."""
    inherited = {key: value for key, value in os.environ.items() if key not in THREADS}
    return {**inherited, **({"OMP_NUM_THREADS": str(threads)} if threads else {}), **variables}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
