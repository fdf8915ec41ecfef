import re

import pytest

from facegan.errors import SnapshotError
from facegan.storage.run_summary import Twins, compare_runs, differing
from runfolders import store, tear


def test_only_settings_that_differ_are_told():
    assert differing([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5}]) == {"b": [2, 5], "c": [3, None]}


def test_runs_are_put_beside_each_other(make):
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


def test_run_whose_settings_cannot_be_read_is_not_compared(make):
    run = make("one")
    run.config.write_text("{")
    with pytest.raises(SnapshotError, match=re.escape(f"{run.config}: not valid JSON (")):
        compare_runs([run, run])
