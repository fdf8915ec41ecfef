"""Measure the cost of saving: blocks of steps with a grid, a snapshot and a state in the middle, and blocks without.

    python benchmarks/saving.py [--preset demo] [--set section.key=value] [--steps 60] [--blocks 5] [--folder DIR]

Both kinds of block run in turns in one process, through facegan's own loop. The difference of their medians is the cost
of one save, from the calibration of the averaged G to the slower steps during the writing. As a share of the steps
between two saves at the default intervals, it is the cost for a run. Two more kinds leave out calibration and grid: one
copies the weights and writes them in the background, as facegan does, the other stops the loop to write.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from facegan.config import resolve
from facegan.data.loader import InfiniteSampler, Loader
from facegan.devices import resolve_device
from facegan.reporter import SILENT
from facegan.storage.run_dir import RunDir
from facegan.training.checkpointing import Saver, copy_weights
from facegan.training.loop import sample_grid
from facegan.training.state import TrainState, build_state, memory_format
from facegan.training.step import training_step


def block(run: RunDir, state: TrainState, loader: Loader, num_steps: int, *, kind: str) -> float:
    """Return the seconds of `num_steps` steps; a `kind` other than "" saves in the middle."""
    device = state.device
    _synchronize(device)
    begin = time.perf_counter()
    with Saver(run.path, SILENT) as saver:
        for number in range(num_steps):
            training_step(state, loader.batch(state.step))
            state.step += 1
            if kind and number == num_steps // 2:
                if kind == "all":
                    state.calibrate()
                    saver.write("grid", sample_grid(run, state))
                write = copy_weights(run, state, snapshot=True, data_digest="digest")
                saver.write_in_background("weights", write) if kind != "inside" else write()
        _synchronize(device)
    return time.perf_counter() - begin


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()

    config = resolve(preset=options.preset, settings=options.settings).complete()
    device = resolve_device(config.train.device)
    num_images = 20_000
    config = config.model_copy(update={"output": config.output.scaled(config.train.num_steps(num_images))})
    side = config.resolution
    images = np.random.default_rng(0).integers(0, 256, (2048, config.channels, side, side), np.uint8)
    sampler = InfiniteSampler(len(images), batch_size=config.train.batch_size, seed=0)
    loader = Loader(images, sampler, device=device, memory_format=memory_format(config))
    state = build_state(config, device)
    seconds: dict[str, list[float]] = {"": [], "all": [], "beside": [], "inside": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run = RunDir(Path(folder) / "run")
        run.create(config.to_json(), {})
        block(run, state, loader, options.steps, kind="all")  # warm-up
        for _ in range(options.blocks):
            for kind, times in seconds.items():
                times.append(block(run, state, loader, options.steps, kind=kind))
        state_bytes = run.state(run.steps("states")[-1]).stat().st_size
    plain = statistics.median(seconds[""])
    step = plain / options.steps
    report: dict[str, object] = {
        "device": str(device),
        "preset": options.preset,
        "milliseconds_a_step": round(step * 1e3, 2),
        "state_megabytes": round(state_bytes / 1e6, 1),
        "steps_between_states": config.output.state_every,
    }
    for kind, name in (("all", "saving"), ("beside", "weights_beside_the_loop"), ("inside", "weights_in_the_loop")):
        cost = statistics.median(seconds[kind]) - plain
        report[f"{name}_in_steps"] = round(cost / step, 2)
        report[f"{name}_percent_of_a_run"] = round(100 * cost / (step * config.output.state_every), 2)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
