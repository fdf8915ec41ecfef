import pytest
import torch

from facegan.errors import TrainingError
from facegan.storage.run_dir import RunDir
from facegan.training import loop
from facegan.training.runtime import within_memory
from facegan.training.trainer import resume, train, try_batch_size

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


def full(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")


@pytest.mark.parametrize(
    "words",
    [
        "MPS backend out of memory",
        "[enforce fail at alloc_cpu.cpp:75] . DefaultCPUAllocator: can't allocate memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
    ],
)
def test_a_full_memory_of_any_device_is_recognised(tiny, words):
    def fail():
        raise RuntimeError(words)

    with pytest.raises(TrainingError, match="lower train"):
        within_memory(fail, tiny(), CPU)


@pytest.mark.parametrize(
    ("most", "advice"),
    [
        (7, "--batch-size 4 fits"),
        (4, "--batch-size 4 fits"),
        (3, "--batch-size 2 fits"),
        (1, "not even a batch of 2 fits: lower resolution or widths"),
    ],
)
def test_the_advice_is_the_largest_batch_size_that_was_tried_and_fits(tiny, most, advice):
    def attempt(size):
        if size > most:
            full()

    with pytest.raises(TrainingError) as refusal:
        within_memory(full, tiny(), CUDA, attempt=attempt)
    assert str(refusal.value) == (
        f"cuda:0: out of memory at train.batch_size=8, resolution=16, train.precision=fp32; {advice} "
        "(in a new run; what this one has saved is valid)"
    )


def test_other_errors_are_raised_as_they_are(tiny):
    def fail(*_):
        raise RuntimeError("shapes differ")

    for work, attempt in ((fail, None), (full, fail)):
        with pytest.raises(RuntimeError, match=r"^shapes differ$"):
            within_memory(work, tiny(), CUDA, attempt=attempt)


def test_a_full_memory_ends_a_run_in_one_line_and_keeps_its_states(tiny, tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=2"), run, stop=lambda: True)
    monkeypatch.setattr(loop, "training_step", full)
    with pytest.raises(TrainingError) as refusal:
        resume(run)
    assert str(refusal.value) == (
        "cpu: out of memory at train.batch_size=8, resolution=16, train.precision=fp32; lower train.batch_size"
    )
    assert run.steps("states") == [1]


def test_networks_that_do_not_fit_end_a_run_before_its_folder_is_made(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.training.trainer.build_state", full)
    with pytest.raises(TrainingError, match=r"^cpu: out of memory at train.batch_size=8"):
        train(tiny(), RunDir(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_batch_size_is_tried_out_with_all_that_the_run_does(tiny, monkeypatch):
    seen, step = [], loop.training_step

    def watch(state, real):
        where = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
        seen.append((len(real), state.config.train.batch_size, state.is_penalised, *where))
        step(state, real)

    monkeypatch.setattr(loop, "training_step", watch)
    settings = ("train.num_D_steps=2", "penalty.r1=1", "penalty.every=2", "train.deterministic=true", "train.threads=3")
    try_batch_size(tiny(*settings), CPU, 0, 4)
    assert set(seen) == {(8, 4, True, True, 3), (8, 4, False, True, 3)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_size_is_tried_out_on_cuda(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "training_step", full)
    with pytest.raises(TrainingError, match="--batch-size 4 fits"):
        train(tiny("train.device=cuda"), RunDir(tmp_path / "run"))
