import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from facegan import images
from facegan.errors import SnapshotError
from facegan.report import page as report_page
from facegan.report import write_report
from facegan.reporter import Callbacks
from facegan.storage.run_status import RunStatus
from pages import Page

STEPS = (0, 6, 12)


@pytest.fixture
def write(tmp_path):
    """write(run) -> the page, read."""

    def write(run, **options):
        write_report(run, tmp_path / "report.html", **{"commands": lambda found: [], **options})
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return write


def decoded(source):
    start = "data:image/webp;base64,"
    assert source.startswith(start)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.removeprefix(start)))).convert("RGB"))


def test_a_page_holds_every_grid_with_its_caption(make, write):
    run = make(ticks=range(1, 13), grids=STEPS)
    page = write(run)
    assert [grid["caption"] for grid in page.data["grids"]] == [
        "step 0   epoch 0.00   0 kimg", "step 6   epoch 1.50   0.10 kimg", "step 12   epoch 3.00   0.19 kimg",
    ]  # fmt: skip
    for grid, step in zip(page.data["grids"], STEPS, strict=True):
        wanted = np.asarray(Image.open(run.sample(step)))
        assert np.abs(decoded(grid["src"]).astype(int) - wanted).mean() < 12
    (shown,) = page.all("img")  # without scripts, the last grid
    assert (shown["src"], shown["alt"]) == (
        page.data["grids"][-1]["src"],
        "Grid of generated faces, step 12   epoch 3.00   0.19 kimg",
    )


def test_a_page_needs_nothing_but_itself(make, write, tmp_path):
    page = write(make(ticks=range(1, 13), grids=STEPS), real=True)
    assert not {"iframe", "object", "embed", "base", "form", "audio", "video"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
    assert [icon["rel"] for icon in page.all("link")] == ["icon"]
    (policy,) = [each["content"] for each in page.all("meta") if each.get("http-equiv")]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    content = (tmp_path / "report.html").read_text()
    assert re.findall(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttpRequest|WebSocket", content) == []


def test_everything_from_a_run_is_shown_as_text(make, write):
    evil = "<script>alert(1)<"
    run = make(f"{evil}script>", f'data.source="{evil}source>"', ticks=(1, 2), grids=(0, 2))
    run.append_metrics({"step": 3, "loss/D": 1.0, "health": f"{evil}health>"})
    evaluation = {"snapshot": f"{evil}snapshot>", "metric": "</script>" + evil, "value": 1, "protocol": [evil]}
    (run.path / "evaluations.jsonl").write_text(json.dumps(evaluation))
    (run.path / "model-card.md").write_text(f"</pre>{evil}card>")
    run.environment.write_text(json.dumps({"gpu": f"{evil}gpu>", evil: 1, "command": ["x", evil]}))
    page = write(run, commands=lambda found: [(f"{evil}command>", f"{evil}why>")])
    for part in ("script", "source", "health", "snapshot", "card", "gpu", "command", "why"):
        assert f"{evil}{part}>" in page.text
    assert len(page.all("script")) == 2
    assert len(page.all("pre")) == 1


def test_training_images_are_shown_only_on_request(make, write):
    run = make(ticks=(1,), grids=(0, 1))
    assert "Training images are left out." in write(run).text
    page = write(run, real=True)
    _, real = page.all("img")
    assert real["alt"] == "Grid of training images"
    wanted = np.asarray(Image.open(run.path / "samples" / "real.png"))
    assert np.abs(decoded(real["src"]).astype(int) - wanted).mean() < 12
    assert "These are not synthetic" in page.text
    assert "Training images are left out." not in page.text


def test_damaged_training_images_cannot_be_shown(make, tmp_path):
    run = make(grids=(0,))
    (run.path / "samples" / "real.png").write_bytes(b"x")
    with pytest.raises(SnapshotError, match=r"real.png: not an image \(it begins like .*; remove it to go without"):
        write_report(run, tmp_path / "report.html", commands=lambda found: [], real=True)
    assert not (tmp_path / "report.html").exists()


def test_missing_training_images_are_reported_as_such(make, tmp_path):
    with pytest.raises(SnapshotError, match=r"real.png: cannot be read \(No such file or directory\)$"):
        write_report(make(), tmp_path / "report.html", commands=lambda found: [], real=True)


PARTS = {
    "model-card.md": "secret",
    "environment.json": '{"gpu": "secret"}',
    "evaluations.jsonl": '{"metric": "secret"}',
    "config.json": '{"data": {"source": "secret"}}',
    "metrics.jsonl": '{"step": 13, "health": "secret"}',
    "log.txt": "failed: secret",
}


@pytest.mark.parametrize("part", [*PARTS, "samples/step-00000006.png"])
def test_files_elsewhere_do_not_come_into_a_page_by_a_link(make, write, tmp_path, part):
    run = make(ticks=range(1, 13), grids=(6, 12))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(PARTS[part].encode() if part in PARTS else run.sample(12).read_bytes())
    (run.path / part).unlink(missing_ok=True)
    (run.path / part).symlink_to(elsewhere)
    page = write(run)
    assert "secret" not in page.text
    assert len(page.data["grids"]) == (2 if part in PARTS else 1)


@pytest.mark.parametrize("part", [*PARTS, "samples/step-00000006.png", "snapshots/step-00000006.safetensors"])
def test_a_pipe_in_a_runs_folder_is_not_waited_for(make, write, part):
    run = make(ticks=range(1, 13), grids=(6, 12))
    (run.path / part).unlink(missing_ok=True)
    os.mkfifo(run.path / part)
    assert write(run).all("h1")


def test_of_a_model_card_no_more_is_read_than_is_shown(make, write, tmp_path):
    run = make()
    with (run.path / "model-card.md").open("wb") as file:
        file.write(b"# what it is for")
        file.truncate(2**40)
    assert "# what it is for" in write(run).text
    assert (tmp_path / "report.html").stat().st_size < 10 * report_page.MAX_CARD_BYTES


@pytest.mark.parametrize("step", ["1" + "0" * 400, "-1", "true", "1.5"])
def test_a_line_with_an_impossible_step_is_skipped(make, write, step):
    run = make(ticks=(1, 2), grids=(0, 2))
    with run.metrics.open("a") as file:
        file.write(f'{{"step": {step}, "epoch": 1.0, "loss/D": 9.0}}\n')
    page = write(run)
    assert page.data["panels"][0]["steps"] == [1, 2]
    assert page.data["grids"][-1]["caption"].startswith("step 2   epoch 0.5")


def test_a_page_shows_settings_environment_evaluations_health_and_next_commands(make, write):
    run = make("faces", "architecture.ngf=8", ticks=range(1, 13))
    rows = [
        {"snapshot": "step-00000012", "metric": "fid", "value": 31.23456789, "interval": [30.5, 32], "num_images": 1000,
         "protocol": {"features": "inception"}},
        {"metric": "swd", "value": None},
    ]  # fmt: skip
    (run.path / "evaluations.jsonl").write_text("{torn\n[1]\n" + "".join(json.dumps(row) + "\n" for row in rows))
    (run.path / "model-card.md").write_text("# what it is for")
    page = write(run, commands=lambda found: [(f"facegan resume {found.standing.name}", "go on")])
    assert "step-00000012 fid 31.2346 30.5 to 32 - - 1000 - features inception - swd - - - - - - -" in page.text
    assert "resolution 16 64" in page.text
    assert "architecture.ngf 8 64" in page.text
    assert "optimizer.beta1 0.5" in page.text  # among all settings
    assert "command facegan train --run faces" in page.text
    assert "good , steps 1 to 12" in page.text
    assert "facegan resume faces go on" in page.text
    assert "# what it is for" in page.text


def test_evaluations_are_shown_with_real_against_real(make, write):
    run = make("faces", ticks=(1,))
    line = {"metric": "swd", "step": 12, "value": 31.5, "interval": None, "num_fake": 100, "num_real": 200,
            "snapshot": "x", "floor": {"value": 10.5, "ratio": 3.0},
            "protocol": {"crop": "none", "real": "drawn"}}  # fmt: skip
    odd = {"metric": "odd", "floor": 3, "interval": ["a"], "protocol": 7}
    (run.path / "evaluations.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(odd))
    text = write(run).text
    assert "step metric value 95 % interval of the mean real against real ratio evaluated real protocol" in text
    assert "12 swd 31.5 - 10.5 3 100 200 crop none, real drawn" in text
    assert '- odd - ["a"] - - - - 7' in text


def test_curves_come_with_their_values_and_a_text_for_those_who_cannot_see_them(make, write):
    page = write(make(ticks=range(1, 13)))
    labels = [drawing["aria-label"] for drawing in page.all("svg")]
    assert labels == [
        "Training losses; last values: D 1, G 3.2",
        "What D believes; last values: D(x), training images 0.75, D(G(z)), generated faces 0.25",
        "Speed; last values: images/s 100",
    ]
    assert page.data["panels"][0] == {
        "steps": list(range(1, 13)),
        "values": [[1.0] * 12, [2 + n / 10 for n in range(1, 13)]],
    }


def test_every_control_has_a_name_and_every_image_a_text(make, write):
    page = write(make(ticks=range(1, 13), grids=STEPS), real=True)
    assert all(each.get("alt") for each in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {each["for"] for each in page.all("label")} == {each["id"] for each in page.all("input")}
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    (root,) = page.all("html")
    assert root["lang"] == "en"


@pytest.mark.parametrize(
    ("ticks", "grids", "said"),
    [
        ((), (), ("The run has hardly begun", "There are no grids of samples", "There are no metrics in this run yet")),
        ((1, 2), (), ("There are no grids of samples",)),
        ((), (0,), ("There are no metrics in this run yet",)),
    ],
)
def test_a_run_that_has_hardly_begun_has_a_page_too(make, write, ticks, grids, said):
    page = write(make(ticks=ticks, grids=grids))
    for text in said:
        assert text in page.text
    assert page.all("input") == []  # one grid needs no slider


def test_a_run_in_progress_is_said_to_be(make, write):
    run = make(ticks=(1, 2), grids=(0, 2))
    with run.lock():
        page = write(run)
    assert "The run is in progress: this page shows its state at the time when the page was made." in page.text


def test_damaged_parts_are_left_out_and_reported(make, write):
    run = make(ticks=range(1, 13), grids=STEPS)
    run.sample(6).write_bytes(b"x")
    run.config.write_text("{")
    run.environment.write_text("[]")
    with run.metrics.open("ab") as file:
        file.write(b'garbage\n\xff\xfe\n[1]\n{"step": "x"}\n{"step": 13, "loss/D": NaN, "loss/G": 1e300}\n{"step": 14')
    page = write(run)
    assert "Cannot be read, and left out: step-00000006.png." in page.text
    assert "Shown are" not in page.text
    assert "The run's folder is damaged: config.json: " in page.text
    assert len(page.data["grids"]) == 2
    assert page.data["panels"][0]["values"][0][-1] is None


def test_a_page_without_anything_but_a_folder(make, write):
    run = make()
    shutil.rmtree(run.path)
    (run.path / "snapshots").mkdir(parents=True)
    assert "There are no grids" in write(run).text


def test_a_page_is_written_completely_or_not_at_all(make, tmp_path, monkeypatch):
    run = make(ticks=(1,), grids=(0,))
    path = tmp_path / "new" / "report.html"
    first = write_report(run, path, commands=lambda found: [])
    assert first.size_bytes == path.stat().st_size
    before = path.read_bytes()

    def fail(self, to):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_report(run, path, commands=lambda found: [])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_progress_is_reported_grid_by_grid(make, tmp_path):
    seen = []
    reporter = Callbacks(progress={"embedding grids": lambda *at: seen.append(at)})
    write_report(make(grids=STEPS), tmp_path / "a.html", commands=lambda found: [], reporter=reporter)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_page_is_written_without_torch_or_matplotlib(make, tmp_path):
    run = make(ticks=range(1, 13), grids=STEPS)
    code = """
import sys
from pathlib import Path
from facegan.report import write_report
from facegan.storage.run_dir import RunDir
write_report(RunDir(Path(sys.argv[1])), Path(sys.argv[2]), commands=lambda found: [])
print({"torch", "matplotlib", "av"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code, run.path, tmp_path / "a.html"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_grids_that_would_be_too_large_together_are_thinned_out(make, write, monkeypatch):
    run = make(grids=range(12))
    size_bytes = len(write(run).data["grids"][0]["src"])
    monkeypatch.setattr(report_page, "MAX_GRID_BYTES", 5 * size_bytes)
    grids = write(run).data["grids"]
    assert 3 <= len(grids) <= 6
    assert sum(len(grid["src"]) for grid in grids) <= 5 * size_bytes
    assert (grids[0]["caption"], grids[-1]["caption"]) == ("step 0", "step 11")


@pytest.mark.parametrize(("size", "embedded"), [((2200, 1100), (1100, 550)), ((40, 30), (40, 30))])
def test_large_grids_are_made_smaller(make, write, size, embedded):
    run = make(grids=(0,))
    images.save(run.sample(0), np.zeros((size[1], size[0], 3), np.uint8))
    assert decoded(write(run).data["grids"][0]["src"]).shape[1::-1] == embedded


SYNTHETIC = "The faces on this page are synthetic: a network drew them from noise, and they are of nobody."


def test_a_run_is_described_in_sentences(make, write):
    run = make(ticks=range(1, 13))
    config = run.config.read_text().replace('"batch_size": 128', '"batch_size": 16')
    run.config.write_text(config)
    assert (
        " ".join(
            [
                SYNTHETIC,
                "The network is a dcgan for images of 16x16 pixels, trained on “drawn” (64 images). A face can still "
                "resemble one that it learned from.",
                "Its length so far: 12 of 20 steps, 0.2 thousand images, 3.00 times through all of them.",
                "That took 0:00:06 hours of training on a CPU under Linux, 32 images a second.",
                "The run has hardly begun: it holds no snapshot and no state.",
            ]
        )
        in write(run).text
    )


def test_nothing_is_said_of_a_run_of_which_nothing_is_known(make, write):
    run = make()
    run.config.unlink()
    run.environment.unlink()
    assert f"{SYNTHETIC} The run has hardly begun: nothing was written into it. Faces through" in write(run).text


def test_every_status_of_a_run_has_its_sentence():
    (statuses,) = [get_args(RunStatus.model_fields["standing"].annotation)]
    assert set(report_page.STATUS) == set(statuses)
