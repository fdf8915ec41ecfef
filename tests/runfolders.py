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
