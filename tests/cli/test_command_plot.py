import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.curves
ONE_RUN = "--arrays x: takes the losses of one run, without --metric; call it once for each"


def column(run, key):
    return [json.loads(line)[key] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_arrays_equal_the_metrics(facegan, run):
    said = facegan("plot", run, "--arrays", "numbers")
    assert said.out == "numbers/d_losses.npy\nnumbers/g_losses.npy\n"
    assert np.load("numbers/d_losses.npy").tolist() == column(run, "loss/D")
    assert np.load("numbers/g_losses.npy").tolist() == column(run, "loss/G")


def test_plot_without_arguments_redraws_the_latest_runs_own(facegan, run):
    (run / "losses.png").unlink()
    said = facegan("plot")
    assert said.out == f"{run}/losses.png\n"
    with Image.open(run / "losses.png") as image:
        assert image.size == (900, 1248)


def test_several_runs_are_overlaid_and_named(facegan, run):
    other = run.rename(run.with_name("other"))
    copy = run.with_name("faces-1")
    copy.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (copy / name).write_bytes((other / name).read_bytes())
    assert facegan("plot", "faces-1", "other", "--json").json == {"files": ["curves.png"]}
    assert Path("curves.png").is_file()


@pytest.fixture
def evaluated(run):
    """The run, with values of one metric at two steps, and an older one by another protocol."""

    def line(step, num_fake, **more):
        floor = {"value": 2.0, "num_real": 150, "num_fake": 50}
        about = {"better": "lower", "num_real": 200, "num_fake": num_fake, "protocol": {"crop": "none"}, "floor": floor}
        return json.dumps({"metric": "swd", "title": "Sliced", "step": step, "value": 3.5, **about, **more})

    (run / "evaluations.jsonl").write_text("\n".join([line(2, 50), line(2, 100), line(4, 100)]) + "\n")
    return run


def test_metrics_are_drawn_over_steps_and_what_is_not_alike_is_said(facegan, evaluated):
    shutil.copytree(evaluated, "runs/other")
    said = facegan("plot", "--metric", "swd", "faces-1")
    assert (said.code, said.out) == (0, "metrics.png\n")
    assert said.err == (
        "faces-1: swd: values of another protocol, left out: 1 (step 2 for one: evaluated images 50, not 100)\n"
    )
    with Image.open("metrics.png") as image:
        assert image.size == (900, 440)
    other = Path("runs/other/evaluations.jsonl")
    other.write_text(other.read_text().splitlines()[0])
    said = facegan("plot", "--metric", "swd", "--metric", "swd", "faces-1", "other", "-o", "new/both.svg", "--json")
    assert said.json == {"files": ["new/both.svg"]} and "<svg" in Path("new/both.svg").read_text()
    assert "swd: the runs were not measured alike (evaluated images 50, not 100)\n" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "swb"], "runs/faces-1/evaluations.jsonl: holds no 'swb'; did you mean 'swd'?"),
        (["--metric", "swd", "--arrays", "x"], ONE_RUN),
    ],
)
def test_wrong_requests_for_metrics_are_refused(facegan, evaluated, arguments, message):
    said = facegan("plot", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.gif"], "-o a.gif: cannot write '.gif'; end it in .png, .svg, .pdf"),
        (["faces-1", "faces-1", "--arrays", "x"], ONE_RUN),
        (["faces"], "faces: no such run, neither as a path nor in runs/; did you mean 'faces-1'?"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(facegan, run, arguments, message):
    said = facegan("plot", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"


def test_run_without_metrics_is_refused(facegan, run):
    (run / "metrics.jsonl").unlink()
    said = facegan("plot", run, "-o", "a.png")
    assert said.code == 2
    assert said.complaint == (f"facegan: {run}/metrics.jsonl: holds no metrics yet; train for a few steps first")
    assert not Path("a.png").exists()


def test_line_that_a_crash_left_half_written_is_skipped(facegan, run):
    complete = column(run, "loss/D")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss')
    facegan("plot", run, "--arrays", "numbers")
    assert np.load("numbers/d_losses.npy").tolist() == complete
