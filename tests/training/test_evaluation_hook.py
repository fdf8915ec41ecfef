"""Evaluation during training: its reports, its files, and that it changes nothing else."""

import itertools
import json
import sys
from types import SimpleNamespace

import pytest
import torch

from facegan.checkpoint import load_generator
from facegan.config import RunConfig
from facegan.data.image_set import from_packed
from facegan.data.packed.packed_images import open_packed
from facegan.errors import ConfigError, DataError, PluginError
from facegan.evaluation import Pair, Sample
from facegan.evaluation.measure import measure
from facegan.evaluation.metrics.fid import FrechetRandom
from facegan.features import random_extractor
from facegan.reporter import Callbacks
from facegan.sampling import generated
from facegan.storage.best_snapshot import best_snapshot
from facegan.storage.run_dir import RunDir
from facegan.training import evaluation_hook, loop
from facegan.training.trainer import resume, train

METRICS = """
from typing import ClassVar
import torch
from facegan.evaluation import Measurement, Metric

VALUES = []

class Scripted(Metric):
    title: ClassVar[str] = "what the test says"
    better: ClassVar[str] = "lower"
    has_floor: ClassVar[bool] = False
    noise: float = 0

    def measure(self, pair):
        torch.rand(3)  # as a metric may that knows no better
        value = VALUES.pop(0)
        if isinstance(value, Exception):
            raise value
        if type(value) is object:
            return Measurement(1.0, details={"what": value})
        return Measurement(value)

class Rising(Scripted):
    better: ClassVar[str] = "higher"

class Near(Scripted):
    better: ClassVar[str] = "nearer"

class ThroughD(Scripted):
    space: ClassVar[str] = "discriminator"

class Exotic(Scripted):
    space: ClassVar[str] = "exotic"

class Greedy(Scripted):
    at_least: ClassVar[int] = 17
"""
NAMES = {
    "scripted": "Scripted",
    "rising": "Rising",
    "near": "Near",
    "by_d": "ThroughD",
    "exotic": "Exotic",
    "greedy": "Greedy",
}
WALL_CLOCK = ("seconds", "images_per_second", "time")
EVERY_2 = ("evaluation.every=2", "evaluation.num_images=16", "evaluation.max_share=1")
OUTPUT = ("output.tick_every=2", "output.sample_every=3", "output.snapshot_every=4", "output.state_every=5")


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def values(install):
    """values(3.0, 1.0): the values that the installed metrics return, in this order."""
    install("toldmetrics", METRICS, {"facegan.metric": {key: f"toldmetrics:{name}" for key, name in NAMES.items()}})

    def make(*numbers):
        import toldmetrics

        toldmetrics.VALUES[:] = numbers

    return make


def lines(run, but=WALL_CLOCK):
    text = run.evaluations.read_text().splitlines() if run.evaluations.exists() else ()
    return [{key: value for key, value in json.loads(line).items() if key not in but} for line in text]


def metrics(run):
    return [{key: value for key, value in record.items() if key not in WALL_CLOCK} for record in run.read_metrics()]


def test_weights_are_the_same_to_the_bit_with_and_without_evaluation(
    tiny, run, finished_run, values, assert_same_tensors
):
    values(3.0, 2.0)
    before = torch.get_rng_state()
    settings = ("output.tick_every=1", "evaluation.metrics=fd_random,swd,scripted", *EVERY_2)
    train(tiny(*settings), run)
    assert torch.equal(torch.get_rng_state(), before)
    assert [line["step"] for line in lines(run)] == [2, 2, 2, 3, 3, 3]
    for kind in ("states", "snapshots"):
        assert_same_tensors(finished_run.latest(kind), run.latest(kind))
    assert metrics(finished_run) == metrics(run)
    for step in finished_run.steps("samples"):
        assert finished_run.sample(step).read_bytes() == run.sample(step).read_bytes()


def test_values_are_those_of_the_snapshot_and_lines_say_where_they_are_from(tiny, store, tmp_path):
    data, run = store(), RunDir(tmp_path / "run")
    train(tiny("train.steps=2", "train.channels_last=false", *EVERY_2, "evaluation.num_images=20", data=data), run)
    (line,) = lines(run)
    packed, generator = open_packed(data), load_generator(run.snapshot(2))
    with generated(generator, 20) as faces:
        pair = Pair(Sample.shuffled(from_packed(packed), 0, 20), Sample(faces))
        (result,) = measure({"fd_random": FrechetRandom()}, pair, {"random": random_extractor(3, 16)})
    assert line["value"] == pytest.approx(result.value, rel=1e-12)
    assert line["digests"] == result.digests
    assert line["floor"]["value"] == pytest.approx(result.floor.value, rel=1e-12)
    assert (line["num_real"], line["num_fake"], line["num_images"], line["interval"]) == (20, 20, 20, None)
    assert (line["step"], line["weights"], line["subject"]) == (2, "G_ema", "run, step 2")
    assert line["during_training"] is True
    assert result.during_training is False


def test_floor_is_measured_the_first_time_alone(tiny, tmp_path):
    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=4", *EVERY_2, "evaluation.num_images=20"), run)
    assert [line["floor"] is None for line in lines(run)] == [False, True]


@pytest.mark.parametrize("num_images", [12, 40])
def test_number_of_faces_is_a_setting_and_no_more_images_are_taken(tiny, tmp_path, num_images):
    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=2", *EVERY_2, f"evaluation.num_images={num_images}"), run)
    assert [(line["num_fake"], line["num_real"]) for line in lines(run)] == [(num_images, min(num_images, 20))]


@pytest.mark.parametrize(
    ("chosen", "numbers", "first"),
    [
        (("evaluation.metrics=scripted",), (3.0, 1.0, 2.0), 2),
        (("evaluation.metrics=near,scripted",), (0.0, 3.0, 0.0, 1.0, 9.0, 9.0), 2),
        (("evaluation.metrics=scripted,rising", "evaluation.keep_best=rising"), (1.0, 1.0, 2.0, 3.0, 9.0, 0.0), 2),
        (("evaluation.metrics=scripted",), (1.0, 1.0, 1.0), 1),
    ],
)
def test_the_best_snapshot_survives_all_newer_ones(tiny, tmp_path, values, chosen, numbers, first):
    values(*numbers)
    run = RunDir(tmp_path / "run")
    config = tiny(*EVERY_2, "evaluation.every=1", "output.keep_snapshots=1", *chosen)
    train(config, run)
    found = best_snapshot(run, config.evaluation)
    assert (found.step, found.path) == (first, run.snapshot(first))
    assert run.steps("snapshots") == [first, 3]
    assert load_generator(found.path).info["step"] == first


def test_a_snapshot_is_written_at_the_best_step_even_if_none_was_due(tiny, tmp_path, values):
    values(3.0, 1.0, 2.0)
    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=6", *EVERY_2, "evaluation.metrics=scripted", "output.snapshot_every=100"), run)
    assert run.steps("snapshots") == [2, 4, 6]


def test_results_are_reported_in_one_line(tiny, tmp_path, values):
    values(3.0, 4.0)
    said = []
    config = tiny("train.steps=4", *EVERY_2, "evaluation.metrics=fd_random,scripted", "evaluation.keep_best=scripted")
    train(config, RunDir(tmp_path / "run"), reporter=Callbacks(line=said.append))
    first, second = [line for line in said if line.startswith("step ")]
    found = [line["value"] for line in lines(RunDir(tmp_path / "run")) if line["metric"] == "fd_random"]
    assert first.startswith(f"step 2: fd_random {found[0]:.4g}, scripted 3 (best so far)  ")
    assert first.endswith(" % of the time")
    assert second.startswith(f"step 4: fd_random {found[1]:.4g}, scripted 4  ")


@pytest.mark.parametrize("stops", [(2,), (3, 1)])
def test_resumed_run_measures_what_an_uninterrupted_one_does(tiny, store, tmp_path, after, assert_same_tensors, stops):
    data = store()
    straight, parts = RunDir(tmp_path / "straight" / "run"), RunDir(tmp_path / "parts" / "run")
    config = tiny("train.steps=6", *EVERY_2, *OUTPUT, "output.keep_snapshots=1", data=data)
    train(config, straight)
    assert train(config, parts, stop=after(stops[0])) is False
    for stop in stops[1:]:
        assert resume(parts, stop=after(stop)) is False
    assert resume(parts) is True
    assert lines(parts) == lines(straight)
    assert [line["step"] for line in lines(straight)] == [2, 4, 6]
    assert_same_tensors(straight.latest("states"), parts.latest("states"))
    assert best_snapshot(parts, config.evaluation).step == best_snapshot(straight, config.evaluation).step
    assert parts.steps("snapshots") == straight.steps("snapshots")


def test_a_snapshot_keeps_its_digest_when_a_longer_run_evaluates_its_step(tiny, tmp_path, after, values):
    run = RunDir(tmp_path / "run")
    values(1.0, 2.0)
    train(tiny("train.steps=3", *EVERY_2, "evaluation.metrics=scripted"), run, stop=after(2))
    before = run.snapshot(2).read_bytes()
    resume(run, {"train": {"steps": 4}})
    assert [line["step"] for line in lines(run)] == [2, 4]
    assert run.snapshot(2).read_bytes() == before


def test_steps_that_are_trained_again_are_measured_again(tiny, tmp_path, values):
    run = RunDir(tmp_path / "run")
    values(3.0, 1.0, 2.0)
    train(tiny("train.steps=6", *EVERY_2, "evaluation.metrics=scripted", "output.state_every=2"), run)
    run.state(6).unlink()
    torn = b'{"metric": "scripted", "during_tr'
    foreign = {**lines(run)[-1], "during_training": False, "step": 6, "value": 0.5}
    with run.evaluations.open("ab") as file:
        file.write(json.dumps(foreign).encode() + b"\n" + torn)
    values(7.0)
    assert resume(run) is True
    assert [(line["step"], line["value"]) for line in lines(run)] == [(2, 3.0), (4, 1.0), (6, 0.5), (6, 7.0)]


def test_a_lost_snapshot_is_no_longer_the_best(tiny, tmp_path, values):
    run = RunDir(tmp_path / "run")
    values(3.0, 1.0)
    config = tiny("train.steps=4", *EVERY_2, "evaluation.metrics=scripted")
    train(config, run)
    run.snapshot(4).unlink()
    assert best_snapshot(run, config.evaluation).step == 2
    values(2.0)
    said = []
    assert resume(run, {"train": {"steps": 6}}, reporter=Callbacks(line=said.append)) is True
    assert [line[:31] for line in said][1:] == ["step 6: scripted 2 (best so far"]
    assert best_snapshot(run, config.evaluation).step == 6


def test_evaluation_settings_can_change_on_resume(tiny, tmp_path, values, after):
    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=4"), run, stop=after(1))
    assert not run.evaluations.exists()
    values(1.0)
    evaluation = {"every": 3, "metrics": "scripted", "num_images": 11, "max_share": 1}
    assert resume(run, {"evaluation": evaluation}, stop=after(2)) is False
    assert resume(run, {"evaluation": {"metrics": "fd_random"}}) is True
    assert [(line["step"], line["metric"], line["num_fake"]) for line in lines(run)] == [
        (3, "fd_random", 11), (4, "fd_random", 11),
    ]  # fmt: skip
    assert json.loads(run.config.read_text())["evaluation"]["every"] == 3


def test_evaluations_that_take_too_much_time_are_skipped_and_reported_once(tiny, tmp_path, monkeypatch):
    ticks = itertools.count()  # every look at the clock takes a second
    monkeypatch.setattr(evaluation_hook, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    said, run = [], RunDir(tmp_path / "run")
    train(tiny("train.steps=8", *EVERY_2, "evaluation.max_share=1e-9"), run, reporter=Callbacks(line=said.append))
    assert [line["step"] for line in lines(run)] == [2, 8]
    (skipped,) = [line for line in said if "not evaluated" in line]
    assert skipped.startswith("step 4: not evaluated, evaluations would take ")
    assert skipped.endswith(
        " % of the time, more than evaluation.max_share=1e-09 allows; later steps except the last are "
        "skipped for the same reason: raise it, or evaluation.every, or lower evaluation.num_images"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "step 1: scripted is not finite and is not saved; training continues"),
        (ValueError("no\n luck"), "step 1: could not be evaluated (no luck); training continues"),
        (
            object(),
            "step 1: could not be evaluated (Unable to serialize unknown type: <class 'object'>); training continues",
        ),
        (MemoryError(), "step 1: could not be evaluated (MemoryError); training continues"),
    ],
)
def test_a_metric_that_fails_is_reported_and_training_continues(tiny, tmp_path, values, value, message):
    values(value, 1.0)
    said, run = [], RunDir(tmp_path / "run")
    assert (
        train(
            tiny("train.steps=2", *EVERY_2, "evaluation.every=1", "evaluation.metrics=scripted"),
            run,
            reporter=Callbacks(line=said.append),
        )
        is True
    )
    assert message in said
    assert [line["step"] for line in lines(run)] == [2]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            ("evaluation.metrics=scripted,rizing",),
            ConfigError,
            "config: evaluation.metrics: there is no 'rizing'; did you mean 'rising'?",
        ),
        (
            ("evaluation.metrics=by_d",),
            ConfigError,
            "config: evaluation.metrics: by_d uses D, which changes from step to step; measure it with "
            "'facegan evaluate', and choose another metric here",
        ),
        (
            ("evaluation.metrics=exotic",),
            PluginError,
            "no metric's space is 'exotic'; there is: pixels, inception, random, discriminator",
        ),
        (
            ("evaluation.metrics=near", "evaluation.keep_best=near"),
            ConfigError,
            "config: evaluation.keep_best: near is good near its value of real images, and ranks no snapshots; "
            "choose a metric for which lower or higher is better",
        ),
        (
            ("evaluation.metrics=greedy",),
            DataError,
            "evaluation.metrics: greedy: needs at least 17 real images (there are 16); leave it out "
            "(evaluation.num_images is 16)",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    tiny, tmp_path, values, settings, error, message
):
    run = RunDir(tmp_path / "run")
    with pytest.raises(error) as refusal:
        train(tiny(*EVERY_2, *settings), run)
    assert str(refusal.value) == message
    assert not run.path.exists()


def test_off_by_default_and_then_the_module_is_not_loaded(tiny, tmp_path, monkeypatch):
    assert RunConfig().evaluation.every == 0
    monkeypatch.setitem(sys.modules, "facegan.training.evaluation_hook", None)  # an import of it fails
    run = RunDir(tmp_path / "run")
    assert train(tiny("train.steps=1", "evaluation.metrics=none_such"), run) is True
    assert not run.evaluations.exists()


def test_time_of_evaluations_counts_in_the_seconds_but_not_in_the_rate(tiny, tmp_path, values, monkeypatch):
    now, step, evaluate = [100.0], loop.training_step, evaluation_hook.measure

    def spend(seconds, work):
        def spending(*args, **kwargs):
            now[0] += seconds
            return work(*args, **kwargs)

        return spending

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(loop, "training_step", spend(2.0, step))
    monkeypatch.setattr(evaluation_hook, "measure", spend(5.0, evaluate))
    values(3.0, 2.0)
    run = RunDir(tmp_path / "run")
    train(tiny("train.steps=4", *EVERY_2, "evaluation.metrics=scripted", "output.tick_every=3"), run)
    rate = 8 / 2.0
    assert [(line["seconds"], line["images_per_second"]) for line in run.read_metrics()] == [(11.0, rate), (13.0, rate)]
