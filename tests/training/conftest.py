"""Runs of three steps on noise, trained once for all tests, and copied where a test changes one."""

import shutil

import pytest
import torch
from safetensors import safe_open

from facegan.storage.run_dir import RunDir
from facegan.training.trainer import train


def no_artifacts(*args, **kwargs):
    pass


FEW_LATENTS = "facegan.training.state.NUM_CALIBRATION", 32  # more take most of the time of so short a run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(*FEW_LATENTS)  # undone after a test's own setting


@pytest.fixture(scope="session")
def train_quickly():
    """`train` for fixtures that live longer than a test."""

    def make(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*FEW_LATENTS)
            return train(*args, **kwargs)

    return make


@pytest.fixture
def undrawn(monkeypatch):
    """Without the curves and the card of a finished run, which take a second."""
    for module in ("trainer", "artifacts"):
        monkeypatch.setattr(f"facegan.training.{module}.finish", no_artifacts)


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "runs" / "faces-1")


@pytest.fixture(scope="session")
def session_data(make_store, tmp_path_factory):
    """The images of the runs of a session."""
    return make_store(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def finished_run(train_quickly, make_tiny, session_data, tmp_path_factory):
    """A finished run of three steps with all that it leaves; read-only."""
    run = RunDir(tmp_path_factory.mktemp("finished") / "faces-1")
    assert train_quickly(make_tiny("output.tick_every=1", data=session_data), run) is True
    return run


@pytest.fixture(scope="session")
def stopped_run(train_quickly, make_tiny, session_data, tmp_path_factory):
    """A run of three steps that was stopped after the first; read-only."""
    run = RunDir(tmp_path_factory.mktemp("stopped") / "faces-1")
    assert train_quickly(make_tiny("output.tick_every=1", data=session_data), run, stop=lambda: True) is False
    return run


@pytest.fixture
def finished(finished_run, run):
    """A copy of the finished run."""
    shutil.copytree(finished_run.path, run.path)
    return run


@pytest.fixture
def stopped(stopped_run, run):
    """A copy of the stopped run."""
    shutil.copytree(stopped_run.path, run.path)
    return run


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="session")
def assert_same_tensors():
    """assert_same_tensors(path, other, but=("sums",)): two files hold the same numbers, to the bit."""

    def check(path, other, but=()):
        one, two = tensors(path), tensors(other)
        assert one.keys() == two.keys()
        assert [key for key in one if key not in but and not torch.equal(one[key], two[key])] == []

    return check


@pytest.fixture(scope="session")
def after():
    """after(3): a stop that says yes once three steps of this process are done."""

    def make(num_steps):
        left = iter([False] * (num_steps - 1) + [True])
        return lambda: next(left)

    return make
