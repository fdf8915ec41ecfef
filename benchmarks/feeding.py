"""Which part of a training step the data take, and how a set larger than the memory is fed.

    python benchmarks/feeding.py --data SOURCE [--set data.crop=center:128] [--steps 40] [--device auto]
    python benchmarks/feeding.py --data PACKED_FOLDER --limit-mb 300

The first form times whole steps of the product's training from the second epoch on, and within them the wait for the
batch. The second form (Linux) reads a whole epoch in a process that may not allocate more than so many megabytes beyond
what it has when it begins, and once without a limit; the batches of both must be equal.
"""

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from facegan.config import RunConfig, resolve
from facegan.data.feed import Feed
from facegan.data.packed.loading import PackedImages, load
from facegan.devices import choose_device
from facegan.training.loop import step_settings
from facegan.training.state import build_state, memory_format
from facegan.training.step import training_step


def part_of_a_step(config: RunConfig, packed: PackedImages, num_steps: int) -> dict[str, object]:
    """Seconds of whole steps and of the wait for their batches."""
    device = choose_device(config.train.device)
    state, settings = build_state(config, device), step_settings(config, device)
    batch_size = config.train.batch_size
    feed = Feed(
        packed, batch_size=batch_size, seed=0, mirror=config.data.mirror, device=device,
        memory_format=memory_format(config),
    )  # fmt: skip
    first = -(-len(packed) // batch_size)  # the first step of the second epoch
    for step in range(first):
        feed.batch(step)
    waits, steps = [], []
    for step in range(first, first + num_steps):
        begin = time.perf_counter()
        real = feed.batch(step)
        _synchronize(device)
        fed = time.perf_counter()
        training_step(state, settings, real)
        _synchronize(device)
        waits.append(fed - begin)
        steps.append(time.perf_counter() - begin)
    return {
        "device": str(device),
        "batch_size": batch_size,
        "steps": num_steps,
        "milliseconds_a_step_median": round(statistics.median(steps) * 1e3, 2),
        "milliseconds_of_waiting_median": round(statistics.median(waits) * 1e3, 3),
        "data_percent_of_the_time": round(100 * sum(waits) / sum(steps), 2),
    }


def read_an_epoch(packed: PackedImages, limit_mb: int) -> dict[str, object]:
    """Feed one epoch, with private memory limited to `limit_mb` beyond what is in use; 0: without a limit."""
    if limit_mb:
        limit = _status("VmData") + limit_mb * 10**6
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    feed, digest = Feed(packed, batch_size=128, seed=0, mirror=False, device="cpu"), hashlib.sha256()
    before, begin = _status("RssAnon"), time.perf_counter()
    num_steps = len(packed) // 128
    for step in range(num_steps):
        digest.update(feed.batch(step).numpy().tobytes() if step % 16 == 0 else b"")
    seconds = time.perf_counter() - begin
    return {
        "limit_mb": limit_mb,
        "set_mb": round(packed.images.nbytes / 1e6),
        "images_per_second": round(num_steps * 128 / seconds),
        "anonymous_mb_added": round((_status("RssAnon") - before) / 1e6, 1),
        "digest": digest.hexdigest()[:16],
    }


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit-mb", type=int)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    config = resolve(flags={"data": {"source": options.data}}, settings=options.settings).complete()
    config = config.model_copy(update={"train": config.train.model_copy(update={"device": options.device})})
    packed = load(config.data, resolution=config.resolution, channels=config.channels)
    if options.limit_mb is None:
        result: object = part_of_a_step(config, packed, options.steps)
    elif options.child:
        result = read_an_epoch(packed, options.limit_mb)
    else:
        command = [sys.executable, __file__, "--data", options.data, "--child", "--limit-mb"]
        runs = [subprocess.run([*command, str(mb)], capture_output=True, check=True) for mb in (options.limit_mb, 0)]
        limited, free = (json.loads(run.stdout) for run in runs)
        assert limited["digest"] == free["digest"], "the batches differ"
        result = {"limited": limited, "free": free}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
