import pytest
import torch

from facegan.errors import TrainingError
from facegan.storage.run_dir import RunDir
from facegan.training import memory as limits
from facegan.training.memory import is_out_of_memory, largest_batch_size, out_of_memory
from facegan.training.trainer import resume, train

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:75] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_a_full_memory_is_known_by_its_error(error, full):
    assert is_out_of_memory(error) is full


@pytest.fixture
def small_memory(monkeypatch):
    """small_memory(5): a device that holds a step on at most five images."""

    def make(most):
        step = limits.training_step

        def limited(state, settings, real):
            if len(real) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
            step(state, settings, real)

        monkeypatch.setattr("facegan.training.memory.training_step", limited)
        monkeypatch.setattr("facegan.training.loop.training_step", limited)

    return make


@pytest.mark.parametrize(("most", "fitting"), [(7, 4), (4, 4), (3, 2), (1, None)])
def test_a_batch_size_that_fits_is_found_by_trying(tiny, small_memory, most, fitting):
    small_memory(most)
    assert largest_batch_size(tiny(), CPU, 0) == fitting


def test_the_advice_is_a_size_that_was_tried(tiny, monkeypatch):
    monkeypatch.setattr(limits, "largest_batch_size", lambda config, device, data_bytes: 4)
    assert str(out_of_memory(tiny(), torch.device("cuda:0"), 0)) == (
        "cuda:0: out of memory at train.batch_size=8, resolution=16, train.precision=fp32; "
        "--batch-size 4 fits (in a new run; what was saved of this one stands)"
    )


def test_a_full_memory_ends_a_run_in_one_line_and_leaves_its_states(tiny, tmp_path, small_memory):
    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=2"), run, stop=lambda: True)
    small_memory(7)
    with pytest.raises(TrainingError) as refusal:
        resume(run)
    assert str(refusal.value) == (
        "cpu: out of memory at train.batch_size=8, resolution=16, train.precision=fp32; lower train.batch_size"
    )
    assert run.steps("states") == [1]


def test_networks_that_do_not_fit_end_a_run_before_its_folder_is_made(tiny, tmp_path, monkeypatch):
    def fail(config, device, world):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("facegan.training.trainer.build_state", fail)
    with pytest.raises(TrainingError, match=r"^cpu: out of memory at train.batch_size=8"):
        train(tiny(), RunDir(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
