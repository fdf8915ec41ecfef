import os

import pytest

from facegan.config import resolve
from facegan.storage.run_dir import RunDir
from runfolders import store, tick

SETTINGS = ("resolution=16", "train.batch_size=16", "data.options.num_images=64")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def make(root):
    """make("one", saved=[5, 10], ticks=range(1, 13)) -> a run's folder as training leaves it, its networks tiny."""

    def make(name, *settings, saved=(), ticks=(), log="", age=0):
        run = RunDir(root / name)
        config = resolve(preset="dcgan", flags={"train": {"steps": 20}}, settings=[*SETTINGS, *settings])
        run.create(config.to_json(), {"facegan": "1", "command": ["x", "train"]})
        for step in saved:
            store(run.snapshot(step), "snapshot", step)
            store(run.state(step), "state", step)
        for step in ticks:
            run.append_metrics(tick(step))
        if log:
            run.log.write_text(log + "\n")
        for path in (run.config, run.metrics, run.log, *run.path.glob("s*/*")):
            if path.exists():
                os.utime(path, (10**9 - age,) * 2)
        return run

    return make
