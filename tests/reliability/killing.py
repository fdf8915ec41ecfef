"""Kill real `facegan train` and `facegan resume` at random moments, damage their files, count what is lost.

    python tests/reliability/killing.py --kills 300 --seed 0

Each trial is a tiny run that meets fault after fault, is resumed each time, and in the end is compared with the same
run undisturbed. Exit code 1 when a run could not be resumed or came out otherwise.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="agg")
sys.path.insert(0, str(Path(__file__).parent))

from trial import LostError, Trial

SMALL_DISK_BYTES = 6_000_000


def preload():
    """Import once what every process needs; a fork then starts at once."""
    import matplotlib.backends.backend_agg  # noqa: F401
    import torch

    import facegan.cli.resume
    import facegan.cli.train
    import facegan.data.drawn
    import facegan.networks.dcgan
    import facegan.plots
    import facegan.training.trainer  # noqa: F401

    torch.set_num_threads(1)


@contextmanager
def small_disk(folder):
    """A file system of a few megabytes, where this is permitted; else None."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(folder)]
    try:
        permitted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        permitted = False
    try:
        yield folder if permitted else None
    finally:
        if permitted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


class Harness:
    """Runs trials and keeps the accounts."""

    def __init__(self, folder, seed, num_plans, disk):
        self.folder, self.seed, self.num_plans, self.disk = folder, seed, num_plans, disk
        self.injected, self.survived = Counter(), Counter()
        self.lost_steps = Counter()  # the most steps lost, by whether a state was damaged
        self.unreadable, self.differing = [], []
        self.straights = {}

    def run(self, kills, only=None):
        """Trials until so many faults have come, or the only one asked for."""
        number, began = 0 if only is None else only, time.monotonic()
        while sum(self.injected.values()) < kills:
            self.one(number)
            done = sum(self.injected.values())
            print(f"trial {number:3}  {done:4}/{kills} faults  {time.monotonic() - began:4.0f} s  "
                  f"unreadable {len(self.unreadable)}  differing {len(self.differing)}", flush=True)  # fmt: skip
            number += 1
            if only is not None:
                return

    def one(self, number):
        """One trial, kept when it fails."""
        rng = random.Random(f"{self.seed}-{number}")
        on_disk = self.disk if self.disk and rng.random() < 0.12 else None
        folder = (on_disk or self.folder) / f"trial-{number}"
        trial = Trial(folder, rng, self, small_disk=on_disk is not None)
        try:
            trial.run()
        except LostError as lost:
            (self.differing if lost.differs else self.unreadable).append(number)
            kept = self.folder / f"lost-{number}"
            shutil.copytree(folder, kept)
            print(f"trial {number}: {lost}\n  {trial.story()}\n  kept in {kept}", flush=True)
        else:
            self.survived.update(trial.faults)
        finally:
            self.injected.update(trial.faults)
            shutil.rmtree(folder, ignore_errors=True)

    def report(self):
        """The closing table; whether nothing was lost."""
        width = max(map(len, self.injected), default=0)
        print(f"\n{'fault':{width}}  injected  survived")
        for name, count in sorted(self.injected.items()):
            print(f"{name:{width}}  {count:8}  {self.survived[name]:8}")
        print(f"{'in all':{width}}  {sum(self.injected.values()):8}  {sum(self.survived.values()):8}\n")
        print(f"runs unreadable: {len(self.unreadable)}")
        print(f"results differing: {len(self.differing)}")
        for name, steps in sorted(self.lost_steps.items()):
            print(f"steps lost at most, {name}: {steps}")
        return not self.unreadable and not self.differing


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="Kill training runs and count what is lost.")
    parser.add_argument("--kills", type=int, default=300, help="faults to inject (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="what runs and faults are drawn from")
    parser.add_argument("--plans", type=int, default=12, help="different runs to try them on (default 12)")
    parser.add_argument("--trial", type=int, help="only the trial of this number")
    parser.add_argument("--folder", type=Path, help="where to work; lost runs are kept there")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="facegan-killing-", dir=arguments.folder)).resolve()
    os.environ["FACEGAN_CACHE"] = str(folder / "cache")
    preload()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with small_disk(folder / "small-disk") as disk:
        harness = Harness(folder, arguments.seed, arguments.plans, disk)
        harness.run(arguments.kills, arguments.trial)
    good = harness.report()
    if good:
        shutil.rmtree(folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
