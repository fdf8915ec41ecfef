import json
import shutil

import pytest
import torch

from facegan import devices
from facegan.config import resolve
from facegan.errors import ConfigError, TrainingError
from facegan.storage.run_dir import RunDir
from facegan.training.plan import Pace, check_disk, plan, settled, with_length
from facegan.training.trainer import train


def test_the_default_plan_is_exact():
    counts = plan(resolve().complete(), 202_599)
    assert (counts.num_parameters_G, counts.num_parameters_D) == (3_576_704, 2_765_568)
    assert counts.num_images == 202_599
    assert counts.num_steps == 39_571  # ceil(25 * 202,599 / 128)
    assert counts.epochs == pytest.approx(39_571 * 128 / 202_599)
    assert counts.data_bytes == 202_599 * 3 * 64 * 64
    # float32 weights; a batch norm of n features keeps 2n float32 and a 64-bit counter.
    bytes_G = 4 * 3_576_704 + 4 * 2 * (512 + 256 + 128 + 64) + 4 * 8
    bytes_D = 4 * 2_765_568 + 4 * 2 * (128 + 256 + 512) + 3 * 8
    assert counts.snapshot_bytes == 2 * bytes_G + bytes_D
    assert counts.state_bytes == counts.snapshot_bytes + 2 * 4 * (3_576_704 + 2_765_568)
    assert counts.run_bytes == 6 * counts.snapshot_bytes + 3 * counts.state_bytes  # one of each is being written
    assert [line.kept for line in counts.guidelines] == [True] * 5


BY_HAND = {
    "dcgan-linear": (3_583_872, 2_765_569, 1563),  # ceil(10 * 10,000 / 64)
    # 100-256-128-64-3 and 3-64-128-256-1, kernels of 4x4, a scale and a shift a norm; ceil(25 * 10,000 / 128)
    "dcgan-32": (
        16 * (100 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 2 * (256 + 128 + 64),
        16 * (3 * 64 + 64 * 128 + 128 * 256 + 256) + 2 * (128 + 256),
        1954,
    ),
}


@pytest.mark.parametrize("preset", BY_HAND)
def test_presets_have_their_own_counts(preset):
    counts = plan(resolve(preset=preset).complete(), 10_000)
    assert (counts.num_parameters_G, counts.num_parameters_D, counts.num_steps) == BY_HAND[preset]


def body(path):
    """The bytes of a safetensors file after its header."""
    size = path.stat().st_size
    return size - 8 - int.from_bytes(path.read_bytes()[:8], "little")


def test_planned_bytes_are_the_bytes_of_the_files(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.training.trainer.finish", lambda *args, **kwargs: None)
    config, run = tiny("train.steps=2", "output.keep_states=1", "output.keep_snapshots=1"), RunDir(tmp_path / "run")
    counts = plan(config, 20)
    train(config, run)
    assert body(run.latest("snapshots")) == counts.snapshot_bytes
    small = 8_000  # the random generator's state, Adam's step counters, the sums
    assert counts.state_bytes < body(run.latest("states")) < counts.state_bytes + small
    assert counts.run_bytes == 2 * counts.snapshot_bytes + 2 * counts.state_bytes


def test_only_files_that_will_be_kept_are_counted(tiny):
    counts = plan(tiny("train.steps=6", "output.snapshot_every=2", "output.state_every=4"), 20)
    assert counts.run_bytes == 4 * counts.snapshot_bytes + 3 * counts.state_bytes  # at 2, 4, 6; at 4, 6


def test_a_plan_draws_and_writes_nothing(tiny, tmp_path, monkeypatch, cache):
    config = tiny()
    before = sorted(tmp_path.rglob("*")), torch.get_rng_state()
    monkeypatch.chdir(tmp_path)
    plan(config, 20)
    assert sorted(tmp_path.rglob("*")) == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert list(cache.iterdir()) == []


def test_a_plan_is_plain_json(tiny):
    counts = plan(tiny(), 20)
    assert json.loads(counts.model_dump_json())["num_steps"] == 3


def test_a_run_that_the_disk_cannot_hold_is_refused_before_anything_is_written(tiny, tmp_path):
    config = tiny("train.steps=1000000000", "output.snapshot_every=1", "output.keep_snapshots=1000000000")
    run = RunDir(tmp_path / "deep" / "run")
    with pytest.raises(TrainingError) as refusal:
        train(config, run)
    needed = plan(config, 20).run_bytes / 1e6
    assert str(refusal.value).startswith(f"{run.path}: ")
    assert str(refusal.value).endswith(
        f" MB are free, this run keeps {needed:,.1f} MB; free some, or lower output.keep_snapshots"
    )
    assert not (tmp_path / "deep").exists()


def test_files_that_are_kept_for_good_are_counted(tiny):
    output = ("output.snapshot_every=2", "output.keep_snapshots=1", "output.state_every=5", "output.keep_states=1")
    few = plan(tiny("train.steps=30", *output), 20)
    many = plan(tiny("train.steps=30", *output, "output.keep_snapshots_every=3", "output.keep_states_every=10"), 20)
    # snapshots at 6, 12, ..., 30 and states at 10, 20, 30, and the newest one
    assert many.run_bytes - few.run_bytes == 5 * few.snapshot_bytes + 3 * few.state_bytes


def test_room_is_looked_for_where_the_run_will_be(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    check_disk(free // 2, tmp_path / "not" / "yet")
    with pytest.raises(TrainingError):
        check_disk(free * 2, tmp_path / "not" / "yet")


def test_an_architecture_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"^config: architecture.z_dim is 0; it must be at least 1$"):
        plan(resolve(settings=["architecture.z_dim=0"]), 10)


def test_minutes_become_the_length_whose_steps_and_saves_end_in_time():
    config = resolve(preset="dcgan", settings={"train.minutes": 10, "train.batch_size": 8}).complete()
    pace = Pace(images_per_second=40.0, calibration_seconds=2.0)
    train = with_length(config, torch.device("cpu"), pace=pace).train
    num_steps = train.num_steps(20)
    assert train.minutes is None and train.kimg == num_steps * 8 / 1000
    assert 9.5 < pace.minutes(config, num_steps) <= 10.1
    assert num_steps < 10 * 60 * 40 / 8 - 20 * 2 * 40 / 8  # twenty grids, at least, take their time too


@pytest.fixture
def cpu_with(monkeypatch, tmp_path):
    """The machine's CPU has these abilities."""

    def make(*flags):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : fpu {' '.join(flags)} avx2\n")
        monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "cpuinfo")
        devices.has_fast_bf16.cache_clear()

    yield make
    devices.has_fast_bf16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "asked", "found"),
    [
        (["amx_bf16"], "auto", "bf16"),
        (["amx_tile", "avx512_bf16"], "auto", "fp32"),
        (["amx_bf16"], "fp32", "fp32"),
        ([], "bf16", "bf16"),
    ],
)
def test_precision_of_a_new_run_on_a_cpu_follows_from_its_abilities(cpu_with, flags, asked, found):
    cpu_with(*flags)
    config = resolve(settings=[f"train.precision={asked}"]).complete()
    assert settled(config, 100, torch.device("cpu")).train.precision == found


def test_precision_of_a_new_run_where_the_system_does_not_name_its_cpu(cpu_with, tmp_path):
    cpu_with("amx_bf16")
    (tmp_path / "cpuinfo").unlink()
    assert settled(resolve().complete(), 100, torch.device("cpu")).train.precision == "fp32"
