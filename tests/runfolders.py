"""What stands in a run's folder, made without training."""

import json
import os

import numpy as np
from safetensors.numpy import save_file


def tick(step, **more):
    shown = step * 16
    return {"step": step, "epoch": shown / 64, "kimg": shown / 1000, "seconds": step / 2, "loss/D": 1.0, **more}


def store(path, kind, step, seed=0):
    weights = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    save_file({"G.weight": weights}, path, {"format": f"facegan-{kind}", "schema": "1", "step": str(step)})


def tear(path, part=0.5):
    """What a file is that a system left half-written."""
    os.truncate(path, int(path.stat().st_size * part))


def write_metrics(run, *records):
    run.metrics.write_text("".join(json.dumps(record) + "\n" for record in records))


def evaluated(step, value, **more):
    """A line of evaluations.jsonl as a run writes it while it is trained."""
    return {
        "metric": "fd_random", "title": "Fréchet distance", "better": "lower", "value": value, "num_real": 9,
        "num_fake": 9, "step": step, "weights": "G_ema", "protocol": {"seed": 0, "device": "cpu"},
        "digests": {"real": "r"}, "during_training": True, **more,
    }  # fmt: skip


def write_evaluations(run, *found):
    """Complete lines, or lines given as (step, value)."""
    lines = [each if isinstance(each, dict) else evaluated(*each) for each in found]
    run.evaluations.write_text("".join(json.dumps(line) + "\n" for line in lines))
