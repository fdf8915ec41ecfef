import shutil
from pathlib import Path

import pytest


def test_report_writes_one_page_and_says_where(facegan, run):
    said = facegan("report", run, "-o", "faces.html")
    assert (said.code, said.out) == (0, "faces.html\n")
    content = Path("faces.html").read_text()
    assert "<h1>faces-1</h1>" in content
    assert "The run is finished." in content
    assert "facegan sample runs/faces-1 -n 64 -o grid.png" in content
    assert "Training images are left out." in content


def test_report_of_the_latest_run_is_the_default(facegan, run):
    assert facegan("report").out == "report.html\n"
    assert Path("report.html").is_file()


def test_report_as_json_describes_the_file(facegan, run):
    said = facegan("report", run, "--real", "--json")
    assert said.json == {
        "report": "report.html",
        "size_bytes": Path("report.html").stat().st_size,
        "num_grids": 3,
        "num_left_out": 0,
        "damaged": [],
        "real": True,
    }
    assert "These are not synthetic" in Path("report.html").read_text()


def test_grids_that_are_left_out_are_reported(facegan, run):
    for step in range(100, 180):
        shutil.copy(run / "samples" / "step-00000004.png", run / "samples" / f"step-{step:08d}.png")
    (run / "samples" / "step-00000000.png").write_bytes(b"x")
    said = facegan("report", run, "--json")
    assert said.err.splitlines()[-2:] == [
        "report.html: does not show step-00000000.png, which cannot be read",
        "report.html: shows 59 of 82 grids, evenly chosen, to stay small",
    ]
    assert (said.json["num_grids"], said.json["num_left_out"]) == (59, 23)
    content = Path("report.html").read_text()
    assert "Shown are 59 of 82 grids, evenly chosen" in content and "step 179" in content


def test_a_run_that_has_lost_its_settings_has_a_report(facegan, run):
    (run / "config.json").unlink()
    assert facegan("report", run).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.pdf"], "-o a.pdf: cannot write '.pdf'; end it in .html, .htm"),
        (["-o", "a"], "-o a: has no ending; end it in .html, .htm"),
        (["nothing-alike"], "nothing-alike: no such run, neither as a path nor in runs/; there is: faces-1"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(facegan, run, workplace, arguments, message):
    said = facegan("report", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"
    assert [path.name for path in workplace.iterdir()] == ["runs"]


def test_the_help_says_why_training_images_stay_out(facegan):
    text = " ".join(facegan("report", "--help").out.split())
    assert "It shows training images only with --real" in text
    assert "real people" in text
