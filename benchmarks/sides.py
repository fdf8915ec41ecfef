"""The sides of the training benchmarks as complete processes: `facegan train`, and the textbook's loop."""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import turns

# facegan reads losses (every 50 steps) and draws grids (every 500) as often as the textbook's loop. In addition to its
# first and last grid, it writes one snapshot and one state, at its end.
NEVER = 10**9
EQUAL_WRITING = (
    "output.tick_every=50", "output.sample_every=500", f"output.snapshot_every={NEVER}",
    f"output.state_every={NEVER}", "output.state_minutes=0",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A finished training process."""

    images: int  # real images shown
    seconds: float  # of the complete process
    cpu_seconds: float
    peak_mb: float
    loop_images_per_second: float  # of the loop alone, without its first 50 steps if it has more

    @property
    def images_per_second(self) -> float:
        """Images per second of the complete process, from start to end."""
        return self.images / self.seconds


def textbook(*arguments: object, env: Mapping[str, str]) -> Trained:
    """Run textbook.py once."""
    spent = turns.process(turns.HERE / "textbook.py", *arguments, env=env)
    result = json.loads(spent.output)
    rate = result["sustained_images_per_second"]
    return Trained(result["images"], spent.seconds, spent.cpu_seconds, spent.peak_mb, rate)


def facegan(*arguments: object, settings: Iterable[str], batch_size: int, env: Mapping[str, str]) -> Trained:
    """Run `facegan train` once, in a temporary run folder."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = ["-m", "facegan", "train", "--run", run, "--batch-size", batch_size, *arguments, *chosen]
        spent = turns.process(*command, env=env)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    first, last = lines[0], lines[-1]
    if last["step"] > first["step"]:
        rate = (last["step"] - first["step"]) * batch_size / (last["seconds"] - first["seconds"])
    else:
        rate = last["images_per_second"]
    return Trained(last["step"] * batch_size, spent.seconds, spent.cpu_seconds, spent.peak_mb, rate)


def report(results: Mapping[str, Sequence[Trained]], base: str) -> dict[str, Any]:
    """Return the rates of each side, and their ratios to the side `base` in the same turns, for JSON."""
    document = {}
    for name, runs in results.items():
        document[name] = {"runs": [asdict(run) for run in runs]}
        for rate, over in (("images_per_second", "over"), ("loop_images_per_second", "loop_over")):
            ours, theirs = ([getattr(run, rate) for run in each] for each in (runs, results[base]))
            document[name] |= {rate: turns.summary(ours), over: {base: turns.ratios(ours, theirs)}}
    return document


def show(title: str, document: Mapping[str, Any], base: str, shares: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the table; `shares` adds columns by title, each with a summary per side in [0, 1]."""
    columns = ("side", "images/s, complete process", "in the loop", f"over {base}", "loop over loop", *shares)
    turns.table(
        title,
        columns,
        [
            (
                name,
                turns.in_words(side["images_per_second"]),
                turns.in_words(side["loop_images_per_second"]),
                turns.in_words(side["over"][base]),
                turns.in_words(side["loop_over"][base]),
                *(turns.in_words(share[name], 100) for share in shares.values()),
            )
            for name, side in document.items()
        ],
    )
