import json

import pytest

from facegan.config import EvaluationConfig
from facegan.storage.best_snapshot import best_line, best_snapshot, cut_evaluations, training_evaluations
from runfolders import evaluated, write_evaluations

DEFAULT = EvaluationConfig()


@pytest.mark.parametrize(
    ("lines", "settings", "step"),
    [
        ([(5, 3.0), (10, 1.0), (15, 2.0)], {}, 10),
        ([(5, 1.0), (10, 1.0)], {}, 5),  # of equal ones the first
        ([evaluated(5, 3.0, better="higher"), evaluated(10, 1.0, better="higher")], {}, 5),
        ([evaluated(5, 1.0, better="nearer")], {}, None),
        ([evaluated(5, 1.0, num_fake=99), (10, 3.0), (15, 2.0)], {}, 15),  # of another number of images
        ([evaluated(5, 1.0, protocol={"seed": 1}), (10, 3.0)], {}, 10),
        ([evaluated(5, 1.0, protocol={"seed": 0, "device": "cuda:0"}), (10, 3.0)], {}, 5),  # only rounds differently
        ([evaluated(5, 1.0, digests={"real": "other"}), (10, 3.0)], {}, 10),
        ([evaluated(5, 1.0, during_training=False), (10, 3.0)], {}, 10),
        ([(5, 1.0), evaluated(5, 9.0, metric="swd"), (10, 3.0), evaluated(10, 8.0, metric="swd")], {}, 5),
        ([(5, 1.0), evaluated(5, 9.0, metric="swd"), (10, 3.0), evaluated(10, 8.0, metric="swd")],
         {"metrics": "fd_random,swd", "keep_best": "swd"}, 10),
        ([(5, 1.0), evaluated(5, 9.0, metric="swd"), (10, 3.0), evaluated(10, 8.0, metric="swd")],
         {"metrics": "swd,fd_random"}, 10),
        ([evaluated(5, 9.0, metric="near", better="nearer"), (5, 1.0)], {"metrics": "near,fd_random"}, 5),
        ([(5, 1.0), (20, 0.5)], {}, 5),  # of step 20 there is no snapshot
        ([], {}, None),
    ],
)  # fmt: skip
def test_only_comparable_lines_of_training_choose_the_best_snapshot(make, lines, settings, step):
    run = make("one", saved=[5, 10, 15])
    write_evaluations(run, *lines)
    found = best_snapshot(run, EvaluationConfig(**settings))
    assert (found and found.step) == step
    assert found is None or found.path == run.snapshot(step)


def test_the_best_snapshot_has_all_its_fields(make):
    run = make("one", saved=[5])
    write_evaluations(run, (5, 0.25))
    told = best_snapshot(run, DEFAULT).model_dump()
    assert told == {
        "step": 5, "path": run.snapshot(5), "metric": "fd_random", "title": "Fréchet distance", "value": 0.25,
        "num_images": 9,
    }  # fmt: skip


UNSOUND = [
    {"step": None}, {"step": True}, {"step": -1}, {"value": None}, {"value": "1"}, {"value": float("inf")},
    {"better": 1}, {"protocol": []}, {"digests": None}, {"num_fake": "9"}, {"title": None}, {"metric": ["fd_random"]},
]  # fmt: skip


@pytest.mark.parametrize("harm", UNSOUND)
def test_invalid_lines_are_skipped(make, harm):
    run = make("one", saved=[5, 10])
    write_evaluations(run, {**evaluated(5, 0.5), **harm}, (10, 2.0))
    assert [line["step"] for line in training_evaluations(run)] == [10]
    assert best_snapshot(run, DEFAULT).step == 10


def test_without_evaluations_there_is_no_best(make):
    run = make("one", saved=[5])
    assert best_snapshot(run, DEFAULT) is None
    assert best_line([], DEFAULT) is None
    cut_evaluations(run, 3)
    assert not run.evaluations.exists()


def test_lines_of_training_are_cut_back_to_a_step_and_all_others_stay(make):
    run = make("one")
    own = [evaluated(step, 1.0) for step in (2, 4, 6)]
    other = evaluated(6, 1.0, during_training=False)
    foreign = {"metric": "mine", "anything": [1]}
    write_evaluations(run, own[0], other, own[1], foreign, own[2])
    with run.evaluations.open("ab") as file:
        file.write(b"[1]\n" + b"[" * 10**5 + b'\n{"during_training": true}\n{"metr')
    cut_evaluations(run, 4)
    assert [json.loads(line) for line in run.evaluations.read_text().splitlines()] == [own[0], other, own[1], foreign]
    before = run.evaluations.stat().st_ino
    cut_evaluations(run, 4)
    assert run.evaluations.stat().st_ino == before  # not written again
