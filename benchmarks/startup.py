"""Measure the CPU seconds until a command answers, and until `facegan train` begins its first step.

    python benchmarks/startup.py [--turns 5] [--data SOURCE]

The time is user and system time of the complete process, as the system reports it for a finished child. In turns:
`python -c pass`, `python -c "import torch"`, `facegan --help`, the help of every command, and a training on packed
images up to its first step. The training is facegan's own command line, run in a child that exits when
facegan.training.step.training_step is called for the first time. Everything before that call counts: settings, opening
the images, networks, the run folder, the first grid.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import turns

# The loop imports the function from its module, so it must be replaced as soon as that module is loaded. Importing the
# module beforehand would change the order of loading.
UNTIL_THE_FIRST_STEP = """
import importlib.util, os, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "facegan.training.step":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_replace(module):
            execute(module)
            module.training_step = lambda *_, **__: os._exit(0)

        spec.loader.exec_module = execute_and_replace
        return spec

sys.meta_path.insert(0, Finder())
from facegan.cli import main
main(sys.argv[1:])
raise SystemExit("no step began")
"""


def main() -> None:
    options = arguments().parse_args()
    env = turns.surroundings(options.threads)
    from facegan.plugins import BUILT_IN

    with tempfile.TemporaryDirectory() as temporary:
        packed = Path(temporary) / "packed"
        source = ["--set", f"data.options.num_images={options.num_images}"] if options.data == "drawn" else []
        turns.process("-m", "facegan", "pack", options.data, "-o", packed, *source)
        sides: dict[str, Callable[[], float]] = {
            "python -c pass": partial(cpu, env, "-c", "pass"),
            "python -c 'import torch'": partial(cpu, env, "-c", "import torch"),
            "facegan --help": partial(cpu, env, "-m", "facegan", "--help"),
            TRAIN: partial(first_step, env, packed, options.settings),
        }
        if not options.quick:
            for name in BUILT_IN["command"]:
                sides[f"facegan {name} --help"] = partial(cpu, env, "-m", "facegan", name, "--help")
        results = turns.alternate(sides, options.turns)
    document = {}
    torch = results["python -c 'import torch'"]
    for name, times in results.items():
        more = turns.summary(ours - theirs for ours, theirs in zip(times, torch, strict=True))
        document[name] = {"cpu_seconds": turns.summary(times), "more_than_import_torch": more}
    turns.table(
        "CPU seconds of a process, user and system",
        ("process", "seconds", "more than import torch"),
        [
            (
                name,
                turns.in_words(each["cpu_seconds"]),
                turns.in_words(each["more_than_import_torch"]) if name == TRAIN else "",
            )
            for name, each in document.items()
        ],
    )
    turns.write(options, {"processes": document})


TRAIN = "facegan train, to its first step"


def cpu(env: dict[str, str], *command: object) -> float:
    """Return the CPU seconds of a process."""
    return turns.process(*command, env=env).cpu_seconds


def first_step(env: dict[str, str], packed: Path, settings: list[str]) -> float:
    """Return the CPU seconds of a training until its first step, on packed images, in a new run folder."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        run = ["--run", Path(folder) / "run", "--steps", 1]  # one step, so that a missed replacement fails soon
        return cpu(env, "-c", UNTIL_THE_FIRST_STEP, "train", "--data", packed, *run, *chosen)


def arguments() -> argparse.ArgumentParser:
    parser = turns.parser(__doc__, "startup", turns=5)
    parser.add_argument("--data", default="drawn", help="the images; default: drawn faces")
    parser.add_argument("--num-images", type=int, default=2000, help="number of drawn faces")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of the training")
    parser.add_argument("--threads", type=int, default=0, help="OMP_NUM_THREADS; default: torch's choice")
    parser.add_argument("--quick", action="store_true", help="leave out the help of the commands")
    return parser


if __name__ == "__main__":
    main()
