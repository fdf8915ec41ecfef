import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan import plugins
from facegan.evaluation import Evaluator
from facegan.generator import FaceGenerator
from facegan.storage.safetensors_file import open_tensors, read_tensors, write_tensors

QUICK = ("--metrics", "fd_random", "-n", 12)
FEW = "images, fewer than 2,048: Fréchet distances (fd_random) come out too high"


@pytest.fixture
def one_metric(monkeypatch):
    """fd_random is all there is."""
    monkeypatch.setitem(plugins.BUILT_IN, "metric", {"fd_random": plugins.BUILT_IN["metric"]["fd_random"]})
    plugins.claims.cache_clear()
    yield
    monkeypatch.undo()
    plugins.claims.cache_clear()


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Images of 16x16 pixels: reals/, fakes/ (which has a copy of one of them), grey/, wide/ and more."""
    root = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(0)

    def write(name, num, size=(16, 16), mode="RGB", ending="png"):
        (root / name).mkdir()
        for number in range(num):
            pixels = np.kron(rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3)), np.ones((4, 4, 1)))
            Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(root / name / f"{number:02d}.{ending}")

    write("reals", 24)
    write("fakes", 12)
    write("grey", 12, mode="L")
    write("wide", 12, (20, 16))
    write("large", 12, (32, 32))
    write("tiny", 12, (8, 8))
    write("lossy", 12, ending="jpg")
    write("one", 1)
    write("two", 2)
    shutil.copy(root / "tiny" / "03.png", root / "two" / "small.png")
    shutil.copy(root / "reals" / "03.png", root / "fakes" / "99.png")
    return root


def results(said):
    assert said.code == 0, said.err
    return said.json["results"]


def lines(run):
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


# A model


def test_a_run_is_evaluated_by_its_training_images_and_remembers_it(facegan, run):
    said = facegan("evaluate", *QUICK)
    assert said.code == 0, said.err
    (line,) = lines(run)
    assert (line["metric"], line["num_fake"], line["num_real"], line["step"]) == ("fd_random", 12, 48, 4)
    assert line["protocol"]["real"] == "drawn (num_images=48)"
    table = said.out.splitlines()
    assert table[0] == "faces-1, step 4"
    assert table[1].split() == ["metric", "better", "value", "95", "%", "interval", "real/real", "ratio"]
    assert table[2].split()[:3] == ["fd_random", "lower", f"{line['value']:.4g}"]
    assert f"{line['floor']['value']:.4g}" in table[2]
    assert "fd_random  Fréchet distance, random network" in said.out
    assert "12 evaluated, 48 real of drawn (num_images=48); 16x16, crop none, bicubic; cpu, seed 0" in said.out
    assert "comparable: facegan alone" in said.out
    assert max(map(len, table[:3])) <= 80
    assert FEW in said.err


def test_json_is_the_line_that_is_remembered(facegan, run):
    said = facegan("evaluate", *QUICK, "--json")
    assert results(said) == lines(run)
    assert said.json["results"][0]["num_images"] == 12
    assert len(said.json["remarks"]) == 1


def test_faces_that_are_evaluated_are_those_of_sample(facegan, run):
    from facegan.data.packed.packed_images import digest_pixels

    facegan("sample", "-n", 12, "-o", "faces/")
    images = [np.asarray(Image.open(path)).transpose(2, 0, 1) for path in sorted(Path("faces").glob("*.png"))]
    (found,) = results(facegan("evaluate", "--metrics", "fd_random", "-n", 12, "--json"))
    assert found["digests"]["fake"] == digest_pixels(np.stack(images))


def test_every_option_changes_something(facegan, run):
    def evaluate(*options):
        (found,) = results(facegan("evaluate", *QUICK, *options, "--json"))
        return found

    before = evaluate()
    changed = [evaluate(*options) for options in (
        ("-n", 14), ("--num-real", 20), ("--num-real", 20, "--seed", 3), ("--raw",), ("--set", "data.limit=20"),
        ("--set", "data.options.seed=5"), ("--set", "data.where=smile>0"), ("--set", "data.split=train"),
    )]  # fmt: skip
    assert len({each["value"] for each in (before, *changed)}) == 1 + len(changed)
    assert changed[-1]["protocol"]["real"] == "drawn (num_images=48 split=train)"
    assert before["floor"] is not None and evaluate("--no-floor")["floor"] is None


def test_data_names_other_images(facegan, run, store):
    other = store(num=30)
    (found,) = results(facegan("evaluate", *QUICK, "--data", other, "--json"))
    assert (found["num_real"], found["protocol"]["real"]) == (30, str(other))


def test_lone_snapshot_is_evaluated_and_not_remembered(facegan, run):
    shutil.copy(run / "snapshots" / "step-00000004.safetensors", "mine.safetensors")
    (found,) = results(facegan("evaluate", "mine.safetensors", *QUICK, "--json"))
    assert found["subject"] == "mine.safetensors"
    assert not list(Path().rglob("evaluations.jsonl"))


def test_models_have_a_row_each_of_every_metric(facegan, run):
    shutil.copytree(run, "runs/other")
    said = facegan("evaluate", "faces-1", "other", *QUICK)
    assert said.code == 0, said.err
    heads, *rows = [line.split("  ") for line in said.out.splitlines()]
    assert [head.strip() for head in heads if head][:4] == ["metric", "better", "model", "value"]
    cells = [[cell.strip() for cell in row if cell] for row in rows[:2]]
    value = f"{lines(run)[0]['value']:.4g}"
    assert [row[:4] for row in cells] == [
        ["fd_random", "lower", f"{name}, step 4", value] for name in ("faces-1", "other")
    ]
    assert len(lines(Path("runs/other"))) == 1


def test_every_snapshot_is_evaluated(facegan, run):
    for step in (5, 6, 7):
        whole, metadata = read_tensors(newest(run)), open_tensors(newest(run), "snapshot").metadata
        about = {**{key: metadata[key] for key in ("config", "kimg")}, "step": str(step)}
        write_tensors(run / "snapshots" / f"step-{step:08d}.safetensors", "snapshot", whole, about)
    with (run / "snapshots" / "step-00000005.safetensors").open("r+b") as file:
        file.seek(-5, 2)
        file.write(b"?????")
    steps = [int(path.stem[5:]) for path in sorted((run / "snapshots").iterdir())]
    said = facegan("evaluate", "--every-snapshot", *QUICK)
    assert said.code == 0, said.err
    steps.remove(5)
    assert [line["step"] for line in lines(run)] == steps
    assert "step-00000005.safetensors" in said.err
    assert [f"faces-1, step {step}" in said.out for step in steps] == [True] * len(steps)


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def test_default_is_every_metric_and_what_cannot_be_measured_is_said(facegan, run, one_metric, install):
    source = (
        "from facegan.evaluation import Measurement, Metric\n"
        "class Many(Metric):\n    title = 'Many'\n    better = 'lower'\n    at_least = 100\n"
        "class Ours(Metric):\n    title = 'Ours'\n    better = 'nearer'\n    scale: int = 2\n"
        "    def measure(self, pair):\n        return Measurement(self.scale * pair.fake.take(0, 2).mean())\n"
        "class Seen(Ours):\n    space = 'discriminator'\n"
    )
    points = {"many": "mine:Many", "ours": "mine:Ours", "seen": "mine:Seen", "lost": "mine:Lost"}
    install("mine", source, {"facegan.metric": points})
    whole, metadata = read_tensors(newest(run)), open_tensors(newest(run), "snapshot").metadata
    tensors = {key: value for key, value in whole.items() if not key.startswith("D.")}
    write_tensors(Path("G.safetensors"), "snapshot", tensors, {key: metadata[key] for key in ("config", "step")})
    said = facegan("evaluate", "G.safetensors", "-n", 12, "--json")
    assert [each["metric"] for each in results(said)] == ["fd_random", "ours"]
    assert said.json["remarks"][0].startswith("metric 'lost': cannot be loaded from mine 1.0")
    assert "left out: many: needs at least 100 real images (there are 48)" in said.err
    assert (
        "left out: seen: G.safetensors: holds no discriminator, only a generator; take a snapshot of a run of facegan"
    ) in said.err
    ours = results(facegan("evaluate", "--metrics", " ours, ours", "-n", 12, "--set", "ours.scale=4", "--json"))
    assert len(ours) == 1
    assert ours[0]["value"] == 2 * said.json["results"][1]["value"]
    assert ours[0]["protocol"]["scale"] == 4
    for metric, code, message in (
        ("many", 2, "many: needs at least 100 real images (there are 48)"),
        ("seen", 2, "G.safetensors: holds no discriminator, only a generator; take a snapshot of a run of facegan"),
    ):
        said = facegan("evaluate", "G.safetensors", "--metrics", metric, "-n", 12)
        assert (said.code, said.complaint) == (code, f"facegan: {message}")


def test_images_that_are_not_finite_are_refused_and_leave_nothing(facegan, run, monkeypatch):
    monkeypatch.setattr(FaceGenerator, "images", lambda self, z: torch.full((len(z), 3, 16, 16), torch.nan))
    said = facegan("evaluate", *QUICK)
    assert said.code == 2
    assert said.complaint.endswith("images are not finite, its weights are too large; take another snapshot")
    assert not (run / "evaluations.jsonl").exists()


def test_ctrl_c_keeps_what_was_found(facegan, run, monkeypatch):
    shutil.copytree(run, "runs/other")
    evaluate = Evaluator.evaluate_checkpoint

    def interrupted(self, checkpoint, *source):
        if "other" in str(checkpoint.path):
            raise KeyboardInterrupt
        return evaluate(self, checkpoint, *source)

    monkeypatch.setattr(Evaluator, "evaluate_checkpoint", interrupted)
    said = facegan("evaluate", "faces-1", "other", *QUICK)
    assert said.code == 130
    assert said.out == ""
    assert len(lines(run)) == 1
    assert not Path("runs/other/evaluations.jsonl").exists()


# Two sources


def test_two_sources_are_compared_without_changing_a_pixel(facegan, folders):
    real, fake = folders / "reals", folders / "fakes"
    said = facegan("evaluate", "--real", real, "--fake", fake, "--metrics", "fd_random", "--json")
    (found,) = results(said)
    assert (found["num_real"], found["num_fake"], found["protocol"]["resolution"]) == (24, 13, 16)
    assert (found["subject"], found["protocol"]["real"], found["protocol"]["crop"]) == (str(fake), str(real), "none")
    assert f"{fake}: 1 of its images are in {real}, too (equal files)" in said.err
    assert len(found["warnings"]) == 1
    (fewer,) = results(
        facegan("evaluate", "--real", real, "--fake", fake, "--metrics", "fd_random", "--json", "-n", 11)
    )
    assert (fewer["num_fake"], fewer["value"] != found["value"]) == (11, True)


def test_packed_images_are_taken_as_they_were_cut(facegan, folders, tmp_path):
    packed = tmp_path / "packed"
    assert facegan("pack", folders / "wide", "--resolution", 16, "-o", packed).code == 0
    flags = ("--real", packed, "--fake", packed, "--metrics", "fd_random", "--no-floor", "--json")
    (found,) = results(facegan("evaluate", *flags))
    assert found["value"] == pytest.approx(0, abs=1e-6)
    assert found["protocol"]["crop"] == "auto"


def test_resolution_and_crop_bring_both_to_one_size(facegan, folders):
    flags = ("--real", folders / "wide", "--fake", folders / "large", "--metrics", "fd_random", "--json")
    (auto,) = results(facegan("evaluate", *flags, "--resolution", 32))
    said = facegan("evaluate", *flags, "--set", "data.crop=center:8")
    (cropped,) = results(said)
    assert (auto["protocol"]["crop"], cropped["protocol"]["crop"]) == ("auto", "center:8")
    assert auto["protocol"]["resolution"] == cropped["protocol"]["resolution"] == 32
    assert auto["value"] != cropped["value"]
    assert "resized" not in said.err
    said = facegan("evaluate", *flags, "--resolution", 16)
    assert results(said)[0]["protocol"]["resolution"] == 16
    assert f"{folders / 'large'}: 12 of 12 evaluated images were resized to 16 pixels" in said.err


def test_lossy_files_are_warned_of(facegan, folders):
    said = facegan("evaluate", "--real", folders / "reals", "--fake", folders / "lossy", "--metrics", "fd_random")
    assert said.code == 0, said.err
    assert (
        f"{folders / 'lossy'}: 12 of 12 evaluated images are JPEG or lossy WebP files, whose compression is scored, "
        "too; save them as PNG\n"
    ) in said.err


def test_grey_and_colour_are_compared_only_when_asked_for(facegan, folders):
    flags = ("--real", folders / "reals", "--fake", folders / "grey", "--metrics", "fd_random")
    said = facegan("evaluate", *flags)
    assert said.code == 2
    assert said.complaint == (
        f"facegan: {folders / 'grey'}: is grey, {folders / 'reals'} in colour; compare images of one kind, or both "
        "in grey with --set channels=1"
    )
    (found,) = results(facegan("evaluate", *flags, "--set", "channels=1", "--json"))
    assert found["protocol"]["channels"] == 1


ADVICE = "--resolution N crops the real images to squares and brings both to one size (--set data.crop=center:128)"


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        ("reals", "large", "{large}: has images of 32x32 pixels, {reals} of 16x16; " + ADVICE),
        ("wide", "reals", "{wide}: its images are not square (20x16); " + ADVICE),
        ("two", "reals", "{two}: its images differ in size (16x16, 8x8); " + ADVICE),
        ("tiny", "tiny", "{tiny}: images of 8x8 pixels are too small to be evaluated; 16x16 are the smallest"),
        ("reals", "one", "{one}: holds 1 usable image, need at least 2"),
    ],
)
def test_sizes_that_cannot_be_compared_are_refused(facegan, folders, real, fake, message):
    said = facegan("evaluate", "--real", folders / real, "--fake", folders / fake, *QUICK)
    assert said.code == 2
    names = {name: folders / name for name in ("large", "reals", "wide", "one", "tiny", "two")}
    assert said.complaint == f"facegan: {message.format(**names)}"


@pytest.mark.parametrize("size", [(), ("--resolution", 16)])
def test_evaluated_images_that_are_not_square_are_refused(facegan, folders, size):
    said = facegan("evaluate", "--real", folders / "reals", "--fake", folders / "wide", *size, *QUICK)
    assert said.code == 2
    assert said.complaint == (
        f"facegan: {folders / 'wide'}: 12 of 12 evaluated images are not square (20x16); they are not cropped, so "
        "cut them to squares first"
    )


def test_images_of_a_source_have_no_discriminator(facegan, folders):
    fake, keys = folders / "fakes", "fd_discriminator,kd_discriminator"
    said = facegan("evaluate", "--real", folders / "reals", "--fake", fake, "--metrics", keys)
    assert (said.code, said.err.splitlines()[-1]) == (
        2,
        f"facegan: {fake}: has no discriminator; evaluate a snapshot, or choose other metrics",
    )


def test_few_images_are_warned_of_only_where_a_distance_is_taken(facegan, folders):
    few = ("-n", 8, "--metrics", "fd_random,ms_ssim", "--no-floor")
    said = facegan("evaluate", "--real", folders / "reals", "--fake", folders / "fakes", *few)
    assert said.code == 0, said.err
    assert "left out: fd_random: needs at least 10 generated images (there are 8)" in said.err
    assert "Fréchet" not in said.err


# What fails does not take along what was found


def test_results_that_cannot_be_remembered_are_shown(facegan, run):
    (run / "evaluations.jsonl").mkdir()
    said = facegan("evaluate", *QUICK, "--json")
    assert said.code == 1
    assert len(said.json["results"]) == 1
    assert said.err.splitlines()[-1] == (
        f"facegan: {(run / 'evaluations.jsonl').absolute()}: the results shown cannot be added to it (Is a "
        "directory); make room or the folder writable, and run the command again"
    )


def test_results_of_models_before_one_that_cannot_be_evaluated_are_shown(facegan, run):
    whole = newest(run)
    Path("bad.safetensors").write_bytes(whole.read_bytes()[:-9])
    said = facegan("evaluate", run, "bad.safetensors", *QUICK)
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("facegan: bad.safetensors: ")
    assert said.out.startswith("faces-1, step 4\n")
    assert len(lines(run)) == 1


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metrics", "fd_randon"], "metric: there is no 'fd_randon'; did you mean 'fd_random'?"),
        (["--metrics", " ,"], "metrics: none is named; there is: fd_random"),
        (["--num-real", "1"], "num_real is 1; it must be at least 2"),
        (["--real", "a"], "--real: give --real A and --fake B, both"),
        (["--fake", "a"], "--fake: give --real A and --fake B, both"),
        (["m", "--real", "a", "--fake", "b"], "--real, --fake: are instead of a MODEL and its --data; give either"),
        (["--plot", "a.gif"], "--plot a.gif: cannot write '.gif'; end it in .png, .svg, .pdf"),
        (["--resolution", "64"], "--resolution 64: is for --real A --fake B; a model has its own"),
        (["--set", "channels=1"], "--set channels: is for --real A --fake B; a model has its own"),
        (["--set", "fd_randon.x=1"], "config: no setting 'fd_randon'; did you mean 'fd_random'?"),
        (["--set", "fd_random.x=1"], "config: no setting 'fd_random.x'; there is none"),
        (["--set", "data.source=x"], "config: data.source has no effect on an evaluation; you can set "
         "data.split, data.where, data.limit, data.options, data.crop, data.filter, data.draft"),
        (["--set", "data.split=half"], "config: data.split is 'half'; it must be 'all', 'train', 'val', 'test' or "
         "'heldout'"),
        (["nobody"], "nobody: no such run, neither as a path nor in runs/; there is: faces-1"),
        (["--data", "no/where"], "no/where: no such folder or file; give a folder of images, a .zip, .tar, .tgz or "
         ".parquet, 'drawn', or a dataset's name"),
        (["--real", "no/a", "--fake", "no/b"], "no/a: no such folder or file; give a folder of images, a .zip, .tar, "
         ".tgz or .parquet, 'drawn', or a dataset's name"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_in_one_line(facegan, run, one_metric, arguments, message):
    said = facegan("evaluate", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"


def test_every_snapshot_is_for_runs(facegan, run):
    said = facegan("evaluate", newest(run), "--every-snapshot")
    assert said.code == 2
    assert said.complaint == f"facegan: --every-snapshot: takes runs ({newest(run)} is a file)"


def test_images_that_cannot_be_read_are_left_out_and_named(facegan, folders, tmp_path):
    shutil.copytree(folders / "large", "large")
    Path("large/77.png").write_bytes(b"no image")
    said = facegan("evaluate", "--real", folders / "large", "--fake", "large", *QUICK)
    assert said.code == 0, said.err
    assert "large: 1 image cannot be used: left out; the first is 77.png: not an image" in said.err
