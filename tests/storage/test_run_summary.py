import json
import re

import pytest

from facegan.config import resolve
from facegan.errors import SnapshotError
from facegan.plugins import find
from facegan.storage.run_summary import Twins, compare_runs, default_settings, differing, summarize_run
from runfolders import store, tear, tick, write_evaluations, write_metrics


def test_changed_settings_are_those_that_are_not_the_defaults(make):
    run = make("one", "architecture.ngf=8", "output.tick_every=3", saved=[20], ticks=[20])
    changed = {each.key: (each.value, each.default) for each in summarize_run(run).changed if "output" not in each.key}
    assert changed == {
        "resolution": (16, 64),
        "data.options.num_images": (64, None),
        "architecture.ngf": (8, 64),
        "train.batch_size": (16, 128),
        "train.steps": (20, None),
    }


def test_intervals_that_came_from_the_runs_length_are_defaults():
    config = resolve(settings=["train.steps=1000"])
    usual = default_settings(config, 1000)
    assert {key: usual[key] for key in ("output.tick_every", "output.snapshot_every")} == {
        "output.tick_every": 1, "output.snapshot_every": 100,
    }  # fmt: skip
    assert default_settings(config, None)["output.tick_every"] == 0


def test_length_and_speed_cover_the_entire_training(make):
    found = summarize_run(make("one", saved=[20], ticks=range(1, 21)))
    assert (found.num_ticks, found.seconds, found.images_per_second) == (20, 10.0, 32.0)
    assert found.metrics == tick(20)
    assert found.environment == {"facegan": "1", "command": ["x", "train"]}
    assert found.settings["resolution"] == 16


@pytest.mark.parametrize("seconds", [1e308, -1.0, float("nan")])
def test_a_length_that_no_training_has_is_unknown(make, seconds):
    run = make("one", saved=[20])
    write_metrics(run, tick(20, seconds=seconds))
    found = summarize_run(run)
    assert (found.seconds, found.images_per_second) == (None, None)


def test_the_summary_joins_equal_health_into_spans(make):
    run = make("one", saved=[20])
    write_metrics(run, tick(1, health="good"), tick(2, health="good"), tick(3, health="D has won"))
    assert [(span.health, span.first, span.last) for span in summarize_run(run).health] == [
        ("good", 1, 2), ("D has won", 3, 3),
    ]  # fmt: skip


def test_every_file_is_listed_with_what_the_check_finds(make):
    run = make("one", saved=[10, 20])
    tear(run.state(20))
    by_header = summarize_run(run)
    assert [(file.kind, file.step, file.problem is None) for file in by_header.files] == [
        ("snapshots", 20, True), ("snapshots", 10, True), ("states", 20, False), ("states", 10, True),
    ]  # fmt: skip
    assert {file.problem for file in summarize_run(run, lambda _: "flipped").files} == {"flipped"}


def test_files_for_people_are_listed_where_they_exist(make):
    run = make("one", saved=[20], ticks=[20], log="done")
    for step in (10, 20):
        run.sample(step).touch()
    (run.path / "losses.png").touch()
    names = [str(path.relative_to(run.path)) for path in summarize_run(run).look]
    assert names == ["samples/step-00000020.png", "losses.png", "metrics.jsonl", "log.txt"]


@pytest.mark.parametrize("environment", ["{", "[1]", "[" * 100_000])
def test_unreadable_files_are_left_out(make, environment):
    run = make("one", saved=[20])
    run.environment.write_text(environment)
    run.config.write_text("{")
    found = summarize_run(run)
    assert (found.environment, found.settings, found.changed, found.metrics) == ({}, {}, [], None)
    assert json.loads(found.model_dump_json())["standing"]["standing"] == "damaged"


def test_all_settings_of_an_installed_plugin_count_as_changed(make, install):
    source = "from pydantic import BaseModel\nclass Mine(BaseModel):\n    width: int = 5\n"
    install("faceplug", source, {"facegan.loss": {"mine": "faceplug:Mine"}})
    changed = {each.key: each.default for each in summarize_run(make("one", "loss.name=mine", "loss.width=5")).changed}
    assert changed["loss.name"] == "nonsaturating" and changed["loss.width"] is None


@pytest.mark.parametrize(
    ("kind", "name"), [("architecture", "dcgan"), ("loss", "nonsaturating"), ("loss", "saturating")]
)
def test_defaults_of_built_in_parts_are_known_without_loading_them(kind, name):
    usual = default_settings(resolve(settings=[f"{kind}.name={name}"]), 10)
    fields = find(kind, name).model_fields
    known = {key: value for key, value in usual.items() if key.startswith(f"{kind}.") and key != f"{kind}.name"}
    assert known == {f"{kind}.{field}": info.default for field, info in fields.items()}


def test_the_summary_names_the_best_snapshot(make):
    run = make("one", saved=[5, 10])
    assert summarize_run(run).best is None
    write_evaluations(run, (5, 1.0), (10, 2.0))
    assert summarize_run(run).best.step == 5


def test_only_differing_settings_are_compared():
    assert differing([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5}]) == {"b": [2, 5], "c": [3, None]}


def test_runs_are_compared_side_by_side(make):
    one, two = make("one", saved=[20], ticks=[20]), make("two", "seed=1", "train.steps=40", saved=[20], ticks=[19])
    found = compare_runs([one, two])
    assert found.settings == {"seed": [0, 1], "train.steps": [20, 40]}
    assert found.metrics["step"] == [20, 19]
    assert [run.standing for run in found.runs] == ["finished", "stopped"]
    assert found.twins == []


def test_equal_settings_are_compared_to_the_bit_at_the_newest_common_step(make):
    runs = [
        make("one", saved=[5, 10, 20]),
        make("two", "seed=1", saved=[10]),
        make("three", "train.steps=30", "output.tick_every=7", saved=[5, 10]),
    ]
    assert compare_runs(runs).twins == [Twins(runs=[0, 2], step=10, identical=True)]
    store(runs[2].snapshot(10), "snapshot", 10, seed=1)
    assert compare_runs(runs).twins == [Twins(runs=[0, 2], step=10, identical=False)]
    tear(runs[2].snapshot(10))
    assert compare_runs(runs).twins == [Twins(runs=[0, 2], step=5, identical=True)]
    runs[2].snapshot(5).unlink()
    assert compare_runs(runs).twins == [Twins(runs=[0, 2], step=None, identical=None)]


def test_a_run_with_unreadable_settings_is_not_compared(make):
    run = make("one")
    run.config.write_text("{")
    with pytest.raises(SnapshotError, match=re.escape(f"{run.config}: not valid JSON (")):
        compare_runs([run, run])


def test_the_length_of_schedules_matters_only_where_something_is_scheduled(make):
    short, long = "schedule.kimg=1", "schedule.kimg=2"
    runs = [make("one", saved=[5]), make("two", short, saved=[5]), make("three", long, "train.steps=30", saved=[5])]
    assert compare_runs(runs).twins == [Twins(runs=[0, 1, 2], step=5, identical=True)]
    decay = "optimizer.decay=0.5"
    assert compare_runs([make("four", short, decay, saved=[5]), make("five", long, decay, saved=[5])]).twins == []
