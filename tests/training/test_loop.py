"""Stopping, resuming and extending: nothing that a run computes may depend on how often it was interrupted."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from facegan import images
from facegan.checkpoint import load_generator
from facegan.ema import calibrate
from facegan.errors import ConfigError, SnapshotError, TrainingError
from facegan.generator import FaceGenerator
from facegan.images.files import read_grid
from facegan.reporter import Callbacks, Reporter
from facegan.storage.run_dir import RunDir
from facegan.training import loop, state
from facegan.training.state import build_networks, build_state
from facegan.training.trainer import resume, train

WALL_CLOCK = ("seconds", "images_per_second")


pytestmark = pytest.mark.usefixtures("undrawn")  # test_trainer checks the curves and the card


def metrics(run):
    return [{k: v for k, v in record.items() if k not in WALL_CLOCK} for record in run.read_metrics()]


@pytest.fixture
def assert_same_run(assert_same_tensors):
    """Networks, optimizers, noise, sums, metrics and grids of two runs: all equal to the bit."""

    def check(one, other):
        assert one.steps("states")[-1] == other.steps("states")[-1]
        assert_same_tensors(one.latest("states"), other.latest("states"))
        assert_same_tensors(one.latest("snapshots"), other.latest("snapshots"))
        assert metrics(one) == metrics(other)
        assert one.steps("samples") == other.steps("samples")
        for step in one.steps("samples"):
            assert one.sample(step).read_bytes() == other.sample(step).read_bytes()

    return check


@pytest.fixture
def interrupted(after):
    """interrupted(config, run, 1, 3): train with a stop after each of so many steps, and resume to the end."""

    def make(config, run, *stops):
        assert train(config, run, stop=after(stops[0])) is False
        for stop in stops[1:]:
            assert resume(run, stop=after(stop)) is False
        assert resume(run) is True

    return make


OUTPUT = ("output.tick_every=2", "output.sample_every=3", "output.snapshot_every=4", "output.state_every=5")

SETTINGS = {
    "all that draws": (
        None, "train.epochs=1", "data.mirror=true", "train.fresh_z=true", "architecture.prior=uniform",
        "augment.policy=color,translation,cutout", *OUTPUT,
    ),
    "bf16": (None, "train.precision=bf16", "train.deterministic=true", *OUTPUT),
    "fp16": (None, "train.precision=fp16", "train.channels_last=false", "channels=1", *OUTPUT),
    "saturating, 32 pixels": (
        "dcgan-linear", "train.steps=2", "resolution=32", "loss.name=saturating", "loss.label_smoothing=0.1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("preset", "settings"), [(each[0], each[1:]) for each in SETTINGS.values()], ids=SETTINGS)
def test_resumed_run_equals_uninterrupted_run(tiny, store, tmp_path, assert_same_run, interrupted, preset, settings):
    data = store(resolution=32 if "resolution=32" in settings else 16, channels=1 if "channels=1" in settings else 3)
    config = tiny(*settings, preset=preset, data=data)
    straight, parts = RunDir(tmp_path / "straight"), RunDir(tmp_path / "parts")
    assert train(config, straight) is True
    interrupted(config, parts, 1)
    assert_same_run(straight, parts)


PARTLY = """
from torch import nn
from facegan.networks.dcgan import DCGAN

class Partly(DCGAN):
    def generator(self, resolution, channels):
        return partly(super().generator(resolution, channels))

    def discriminator(self, resolution, channels):
        return partly(super().discriminator(resolution, channels))

def partly(network):
    next(network.parameters()).requires_grad_(False)
    network.unused = nn.Linear(2, 2)
    return network

class Fixed(DCGAN):
    def discriminator(self, resolution, channels):
        return super().discriminator(resolution, channels).requires_grad_(False)

class Around(nn.Module):
    def __init__(self, network, *, frozen):
        super().__init__()
        self.network, self.unused, self.frozen = network.requires_grad_(not frozen), nn.Linear(2, 2), frozen

    def forward(self, x):
        return self.network(x if self.frozen else x.detach())

class IdleG(DCGAN):
    def generator(self, resolution, channels):
        return Around(super().generator(resolution, channels), frozen=True)

class IdleD(DCGAN):
    def discriminator(self, resolution, channels):
        return Around(super().discriminator(resolution, channels), frozen=True)

class Deaf(DCGAN):
    def discriminator(self, resolution, channels):
        return Around(super().discriminator(resolution, channels), frozen=False)
"""


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["penalty.r1=1", "penalty.r2=1", "architecture.norm_D=none"],
        ["penalty.r1=1", "penalty.fused=true", "architecture.norm_D=none"],
        ["train.precision=fp16"],
        pytest.param(
            ["train.device=cuda"],
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ),
    ],
    ids=["adversarial", "penalty", "fused", "fp16", "captured"],
)
def test_frozen_and_unused_parameters_of_a_plugin_stay_and_all_others_train_and_resume(
    tiny, install, tmp_path, undrawn, assert_same_run, interrupted, settings
):
    install("partly", PARTLY, {"facegan.architecture": {"partly": "partly:Partly"}})
    config = tiny("train.steps=6", "architecture.name=partly", *settings)
    straight, parts = RunDir(tmp_path / "straight"), RunDir(tmp_path / "parts")
    assert train(config, straight) is True
    saved = load_file(straight.snapshot(6))
    for name, network in zip("GD", build_networks(config), strict=True):
        first = next(iter(network.state_dict()))
        same = {key for key, value in network.named_parameters() if torch.equal(value.detach(), saved[f"{name}.{key}"])}
        assert same == {first, "unused.weight", "unused.bias"}
    if config.train.device == "cpu":
        interrupted(config, parts, 3)
        assert_same_run(straight, parts)


@pytest.mark.parametrize(("name", "network"), [("Fixed", "D"), ("IdleG", "G"), ("IdleD", "D"), ("Deaf", "G")])
def test_networks_that_no_gradient_reaches_are_refused_before_anything_is_written(
    tiny, install, tmp_path, name, network
):
    install("partly", PARTLY, {"facegan.architecture": {"idle": f"partly:{name}"}})
    with pytest.raises(ConfigError) as refusal:
        train(tiny("architecture.name=idle"), RunDir(tmp_path / "run"))
    assert str(refusal.value) == (
        "architecture: idle cannot be trained: no gradient of D's output reaches a parameter of "
        f"{network} that is not frozen"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_deterministic_run_on_cuda_resumes_exactly(
    tiny, tmp_path, monkeypatch, precision, assert_same_run, interrupted
):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings = ("train.device=cuda", "train.deterministic=true", f"train.precision={precision}")
    config = tiny("train.steps=7", "data.mirror=true", "augment.policy=color,translation,cutout", *settings, *OUTPUT)
    straight, parts = RunDir(tmp_path / "straight"), RunDir(tmp_path / "parts")
    train(config, straight)
    interrupted(config, parts, 3)
    assert_same_run(straight, parts)


@pytest.fixture(scope="module")
def seldom(train_quickly, make_tiny, session_data, tmp_path_factory):
    """The finished run once more, with longer intervals but a state that is soon too old."""
    intervals = {"tick_every": 2, "sample_every": 3, "snapshot_every": 90, "state_every": 90, "state_minutes": 1e-9}
    run = RunDir(tmp_path_factory.mktemp("seldom") / "run")
    settings = [f"output.{name}={value}" for name, value in intervals.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facegan.training.trainer.finish", lambda *args, **kwargs: None)
        train_quickly(make_tiny(*settings, "output.keep_states=9", data=session_data), run)
    return run


def test_a_state_is_saved_when_the_last_one_has_become_old(seldom):
    assert seldom.steps("states") == [1, 2, 3]


def test_output_intervals_do_not_change_the_weights(seldom, finished_run, assert_same_tensors):
    assert (seldom.steps("samples"), seldom.steps("snapshots")) == ([0, 3], [3])
    assert_same_tensors(finished_run.latest("snapshots"), seldom.latest("snapshots"))
    assert_same_tensors(finished_run.latest("states"), seldom.latest("states"), but=("sums",))
    assert finished_run.sample(3).read_bytes() == seldom.sample(3).read_bytes()


def test_metrics_are_means_over_the_steps_of_a_tick(seldom, finished_run):
    single = metrics(finished_run)
    assert [record["step"] for record in metrics(seldom)] == [2, 3]  # the last step always has its line
    for line, parts in zip(metrics(seldom), (single[:2], single[2:]), strict=True):
        for key in ("loss/D", "loss/D_real", "loss/D_fake", "loss/G", "score/real", "score/fake"):
            assert line[key] == pytest.approx(sum(part[key] for part in parts) / len(parts), rel=1e-5)
        assert line["loss/D"] == pytest.approx(line["loss/D_real"] + line["loss/D_fake"], rel=1e-5)
        assert line["kimg"] == line["step"] * 8 / 1000
        assert line["epoch"] == pytest.approx(line["step"] * 8 / 20)


def test_a_run_stopped_at_every_step_equals_one_that_never_stopped(
    make_tiny, session_data, run, finished_run, assert_same_run, interrupted
):
    interrupted(make_tiny("output.tick_every=1", data=session_data), run, 1, 1)
    assert_same_run(finished_run, run)
    seconds = [record["seconds"] for record in run.read_metrics()]
    assert seconds == sorted(seconds)  # they continue across a resume
    assert all(record["images_per_second"] > 0 for record in run.read_metrics())


def test_a_crashed_run_continues_from_its_last_state_and_metrics_are_cut_back(tiny, tmp_path, assert_same_run):
    class CrashError(Exception):
        pass

    def crash(step, num_steps, metrics):
        if step == 3:
            raise CrashError

    config = tiny("train.steps=4", "output.tick_every=1", "output.sample_every=3", "output.state_every=2")
    straight, parts = RunDir(tmp_path / "straight"), RunDir(tmp_path / "parts")
    train(config, straight)
    with pytest.raises(CrashError):
        train(config, parts, reporter=Callbacks(metrics=crash))
    assert [record["step"] for record in metrics(parts)] == [1, 2, 3]
    assert parts.steps("states") == [2]
    resume(parts)
    assert [record["step"] for record in metrics(parts)] == [1, 2, 3, 4]
    assert_same_run(straight, parts)


def test_extending_a_finished_run_equals_a_longer_run(tiny, tmp_path, assert_same_run):
    longer, extended = RunDir(tmp_path / "longer"), RunDir(tmp_path / "extended")
    output = ("output.tick_every=3", "output.sample_every=2", "output.snapshot_every=2", "output.state_every=2")
    train(tiny("train.steps=4", *output), longer)
    train(tiny("train.steps=2", *output), extended)  # its last line lies between two ticks
    assert resume(extended) is None
    assert resume(extended, {"train": {"steps": 4}}) is True
    assert_same_run(longer, extended)
    assert json.loads(extended.config.read_text())["train"]["steps"] == 4
    assert resume(extended) is None


def test_extending_by_epochs_replaces_the_steps(stopped):
    assert resume(stopped, {"train": {"epochs": 1.5}}) is True
    assert stopped.steps("states")[-1] == 4  # 30 images in batches of 8
    config = json.loads(stopped.config.read_text())["train"]
    assert (config["epochs"], config["steps"], config["kimg"]) == (1.5, None, None)


@pytest.mark.parametrize("setting", ["seed=1", "data.mirror=true", "ema.half_life_kimg=0"])
def test_seed_mirror_and_half_life_change_what_is_saved(tiny, run, finished_run, setting):
    train(tiny(setting, "train.steps=1"), run)
    one, other = (load_file(each.snapshot(1)) for each in (finished_run, run))
    assert not torch.equal(one["G_ema.to_image.0.weight"], other["G_ema.to_image.0.weight"])


def test_epochs_show_every_image_as_often_as_they_say(tiny, store, tmp_path, monkeypatch):
    seen, data = [], store()
    step = loop.training_step
    monkeypatch.setattr(loop, "training_step", lambda *args: (seen.append(args[1].clone()), step(*args)))
    train(tiny("train.epochs=2", data=data), RunDir(tmp_path / "run"))
    shown = images.to_uint8(torch.cat(seen)).flatten(1)
    stored = torch.from_numpy(np.load(data / "images.npy")).flatten(1)
    assert [int((shown == each).all(1).sum()) for each in stored] == [2] * 20
    assert [int((shown[:20] == each).all(1).sum()) for each in stored] == [1] * 20


def test_the_same_settings_give_the_same_run(tiny, run, finished_run, assert_same_run):
    torch.manual_seed(99)
    train(tiny("output.tick_every=1"), run)
    assert_same_run(finished_run, run)


def test_files_are_written_at_their_intervals_and_the_newest_are_kept(tiny, tmp_path):
    run = RunDir(tmp_path / "run")
    output = ("output.sample_every=3", "output.snapshot_every=2", "output.state_every=1", "output.keep_snapshots=3")
    train(tiny("train.steps=7", *output), run)
    assert run.steps("samples") == [0, 3, 6, 7]
    assert run.steps("snapshots") == [4, 6, 7]
    assert run.steps("states") == [6, 7]


def test_snapshots_of_stops_are_replaced_by_the_next_ones_and_push_no_regular_one_out(tiny, run, after):
    output = ("output.snapshot_every=3", "output.state_every=5", "output.keep_snapshots=2")
    train(tiny("train.steps=12", *output), run, stop=after(3))
    for num_steps, kept in ((1, [3, 4]), (1, [3, 5]), (2, [6, 7]), (3, [9, 10])):
        assert resume(run, stop=after(num_steps)) is False
        assert run.steps("snapshots") == kept
    assert resume(run) is True
    assert run.steps("snapshots") == [9, 12]  # as without any stop
    assert (run.path / "samples" / "real.png").is_file()


def test_first_grid_shows_the_untrained_generator_after_few_latents(tiny, tmp_path, monkeypatch):
    used = []

    def counted(generator, batches):
        batches = list(batches)
        used.append(sum(map(len, batches)))
        calibrate(generator, batches)

    monkeypatch.setattr("facegan.ema.calibrate", counted)
    config, run = tiny("train.steps=1"), RunDir(tmp_path / "run")
    train(config, run)
    assert used == [loop.NUM_FIRST, state.NUM_CALIBRATION]

    untrained = build_state(config, torch.device("cpu")).G_ema
    seen = read_grid(run.sample(0))
    bare = FaceGenerator(untrained, z_dim=12, prior="normal").sample(range(loop.NUM_GRID))
    source = torch.Generator().manual_seed(123)
    calibrate(untrained, [torch.randn(500, 12, generator=source) for _ in range(4)])
    settled = FaceGenerator(untrained, z_dim=12, prior="normal").sample(range(loop.NUM_GRID))

    def distance(drawn):
        """Levels of 255 between an image's values and the grid's, on average."""
        return np.abs(np.asarray(seen, float) - images.grid(images.to_uint8(drawn))).mean()

    assert distance(settled) < 1.5  # other latents, and many more
    assert distance(bare) > 3 * distance(settled)


def test_progress_is_reported_at_each_tick(tiny, tmp_path):
    ticks = []

    class Recorder(Reporter):
        def progress(self, task, done, total, *, unit="images", metrics=None):
            if task == "training":
                ticks.append((done, total, unit, metrics))

    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=2", "output.tick_every=1"), run, reporter=Recorder())
    assert ticks == [(step, 2, "steps", line) for step, line in enumerate(run.read_metrics(), start=1)]


def test_saved_average_has_the_batch_norm_statistics_of_its_own_activations(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.training.state.NUM_CALIBRATION", 1024)
    run = RunDir(tmp_path / "run")
    output = ("output.snapshot_every=6", "output.sample_every=100", "output.state_every=100")
    train(tiny("train.steps=7", "optimizer.lr_G=5e-3", *output), run)
    averaged, raw = load_generator(run.snapshot(6)), load_generator(run.snapshot(6), raw=True)

    def statistics(network):
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        return [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]

    def distance(found, expected):
        """The largest difference of a mean, in deviations, or of a deviation, as a share."""
        means = max(((a - b).abs() / v.sqrt()).max() for (a, _), (b, v) in zip(found, expected, strict=True))
        spreads = max(((a / b).sqrt() - 1).abs().max() for (_, a), (_, b) in zip(found, expected, strict=True))
        return max(means, spreads)

    saved, stale = statistics(averaged.network), statistics(raw.network)
    source = torch.Generator().manual_seed(123)
    calibrate(averaged.network, [torch.randn(500, 12, generator=source) for _ in range(8)])
    own = statistics(averaged.network)
    assert distance(saved, own) < 0.2  # other latents, the same statistics
    assert distance(stale, own) > 2 * distance(saved, own)  # not so the trained network's running averages


LOSS = """
import torch
from facegan.losses import NonSaturating

class Breaking(NonSaturating):
    at_step: int = 3
    factor: str = "nan"
    kind: str = "loss"
    calls: list = []

    def discriminator(self, real_logits, fake_logits):
        self.calls.append(1)
        loss = super().discriminator(real_logits, fake_logits)
        if len(self.calls) < self.at_step:
            return loss
        if self.kind == "gradient":  # the value is right, its derivative is 0 / 0
            return loss._replace(real=loss.real + (real_logits - real_logits.detach()).square().sum().sqrt())
        return loss._replace(real=loss.real * float(self.factor))

    def generator(self, fake_logits, real_logits):
        loss = super().generator(fake_logits, real_logits)
        return loss * float(self.factor) if len(self.calls) >= self.at_step and self.kind == "loss" else loss
"""


@pytest.fixture
def breaking(install):
    install("breakingloss", LOSS, {"facegan.loss": {"breaking": "breakingloss:Breaking"}})


@pytest.mark.parametrize(("tick_every", "value"), [(1, "nan"), (100, "inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    tiny, tmp_path, breaking, finished_run, assert_same_tensors, tick_every, value
):
    run = RunDir(tmp_path / "run")
    output = [f"output.{kind}_every=2" for kind in ("state", "snapshot", "sample")]
    config = tiny(
        "train.steps=20", f"output.tick_every={tick_every}", *output,
        "loss.name=breaking", "loss.at_step=4", f'loss.factor="{value}"',
    )  # fmt: skip
    with pytest.raises(TrainingError) as refusal:
        train(config, run)
    assert str(refusal.value) == (
        "step 4: the loss is not finite; the state of step 2, saved before it, is good; "
        "lower optimizer.lr_G and optimizer.lr_D, or use train.precision fp32, in a new run"
    )
    assert run.steps("states") == [2]
    assert run.steps("snapshots") == [2]
    assert run.steps("samples") == [0, 2]
    *before, last = run.read_metrics()
    assert all(record["step"] < 4 for record in before)
    assert last["health"] == "not finite"
    assert_same_tensors(finished_run.state(2), run.state(2), but=("sums",))


def test_a_gradient_that_is_not_finite_stops_the_run_too(tiny, tmp_path, breaking):
    run = RunDir(tmp_path / "run")
    with pytest.raises(TrainingError, match=r"^by step 3: a gradient is not finite; the state of step 2, saved"):
        train(tiny("train.steps=9", "loss.name=breaking", 'loss.kind="gradient"', "output.state_every=1"), run)
    assert run.steps("states") == [1, 2]


def test_a_state_of_other_images_is_refused(stopped, store):
    config = json.loads(stopped.config.read_text())
    config["data"]["source"] = str(store(seed=1))
    stopped.config.write_text(json.dumps(config))
    with pytest.raises(SnapshotError) as refusal:
        resume(stopped)
    assert str(refusal.value).startswith(
        f"{stopped.state(1)}: the images are not those that this run was trained on: the files are the same, but other "
    )
