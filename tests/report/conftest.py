import numpy as np
import pytest

from facegan import images
from facegan.config import resolve
from facegan.storage.run_dir import RunDir
from runfolders import tick


def line_of(step, **more):
    """A line of metrics as training writes it."""
    scores = {"loss/G": 2.0 + step / 10, "score/real": 0.75, "score/fake": 0.25, "images_per_second": 100.0}
    return tick(step, **{**scores, "health": "good", **more})


@pytest.fixture
def make(tmp_path):
    """make("faces", ticks=range(1, 13), grids=(0, 6, 12)) -> a run's folder as training leaves it, without networks."""

    def make(name="faces", *settings, ticks=(), grids=()):
        run = RunDir(tmp_path / "runs" / name)
        config = resolve(preset="dcgan", flags={"train": {"steps": 20}}, settings=["resolution=16", *settings])
        environment = {"facegan": "1", "command": ["x", "train", "--run", name], "device": "cpu", "platform": "Linux-6"}
        run.create(config.to_json(), environment)
        for step in ticks:
            run.append_metrics(line_of(step))
        rng = np.random.default_rng(0)
        for path in [*map(run.sample, grids), *([run.path / "samples" / "real.png"] if grids else [])]:
            images.save(path, np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((9, 9, 1))).astype(np.uint8))
        return run

    return make
