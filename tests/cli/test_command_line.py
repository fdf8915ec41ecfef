import subprocess
import sys

import pytest

import facegan as package
from facegan import plugins


def test_help_lists_every_command_with_what_it_does(facegan):
    said = facegan("--help")
    assert said.code == 0
    for name in plugins.BUILT_IN["command"]:
        line = next(line for line in said.out.splitlines() if line.startswith(f"  {name} "))
        assert not line.endswith("..."), "the summary is cut off"
    assert "Start with: facegan train" in said.out


@pytest.mark.parametrize("arguments", [["--version"], ["--debug", "--version"]])
def test_version_is_printed(facegan, arguments):
    assert facegan(*arguments).out == f"facegan {package.__version__}\n"


def test_no_command_prints_the_help(facegan):
    assert facegan().out == facegan("--help").out


def test_too_few_images_are_refused_before_any_is_packed(facegan):
    said = facegan("train", "--set", "data.options.num_images=5")
    assert said.code == 2
    assert said.complaint == "facegan: drawn: found 5 images, need at least 64 (train.batch_size)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "command: there is no 'trian'; did you mean 'train'?"),
        (["xyz"], "command: there is no 'xyz'; there is: download, data, pack, cache, train, "),
        (["train", "--stps", "3"], "facegan train: no such option: --stps"),
        (["train", "--steps"], "option '--steps' requires an argument; see 'facegan"),
        (["train", "extra"], "facegan train: got unexpected extra argument"),
        (["train", "--batch-size", "many"], "facegan train: invalid value for '--batch-size': "),
        (
            ["train", "--epochs", "1", "--steps", "3"],
            "config: train: give exactly one of epochs, kimg, steps, minutes (given: train.epochs and train.steps)",
        ),
        (
            ["train", "--kimg", "1", "--epochs", "2"],
            "config: train: give exactly one of epochs, kimg, steps, minutes (given: train.epochs and train.kimg)",
        ),
        (["train", "--steps", "0"], "config: train.steps is 0; it must be at least 1"),
        (["train", "--epochs", "nan"], "config: train.epochs is nan; it must be a finite number"),
        (
            ["train", "--resolution", "48"],
            "config: resolution is 48; it must be a power of two: 16, 32, 64, 128, 256 or 512",
        ),
        (["train", "--resolution", "8"], "config: resolution is 8; it must be at least 16"),
        (["train", "--batch-size", "1"], "config: train.batch_size is 1; it must be at least 2"),
        (["train", "--seed=-1"], "config: seed is -1; it must be at least 0"),
        (
            ["train", "--precision", "fp8"],
            "config: train.precision is 'fp8'; it must be 'auto', 'fp32', 'bf16' or 'fp16'",
        ),
        (["train", "--device", "gpu"], "config: train.device is 'gpu'; it must be auto, cpu, cuda, cuda:N or mps"),
        (["train", "--device", "cuda:77", "--dry-run"], "--device cuda:77: torch "),
        (["train", "--preset", "dcgan32"], "preset: there is no 'dcgan32'; did you mean 'dcgan-32'"),
        (["train", "--config", "gone.toml"], "gone.toml: cannot be read (No such file or directory)"),
        (["train", "--config", "bad.toml"], "bad.toml: not valid TOML ("),
        (["train", "--config", "list.json"], "list.json: holds a list; a configuration is a table of settings"),
        (["train", "--config", "mine.yaml"], "mine.yaml: a configuration file ends in .toml or .json"),
        (["train", "--set", "train.batchsize=3"], "config: no setting 'train.batchsize'; did you mean 'batch_size'?"),
        (["train", "--set", "trian.steps=3"], "config: no setting 'trian'; did you mean 'train'?"),
        (["train", "--set", "steps"], "--set steps: give section.key=value, for instance --set train.batch_size=64"),
        (["train", "--set", "seed=x"], "config: seed is 'x'; it must be a whole number"),
        (["train", "--set", "train=3"], "config: train is 3; it must be a table"),
        (["train", "--set", "ema.half_life_kimg=inf"], "config: ema.half_life_kimg is inf; it must be a finite number"),
        (
            ["train", "--set", "train.epochs=1", "--set", "train.steps=3"],
            "config: train: give exactly one of epochs, kimg, ",
        ),
        (
            ["train", "--set", "data.crop=middle"],
            "config: data.crop is 'middle'; it must be auto, none, center:N or box:",
        ),
        (
            ["train", "--set", "augment.policy=colour"],
            "config: augment.policy is 'colour'; there is no 'colour'; did you mean",
        ),
        (
            ["train", "--set", "architecture.head=round", "--dry-run"],
            "config: architecture.head is 'round'; it must be 'conv'",
        ),
        (["train", "--set", "loss.margn=1", "--dry-run"], "config: no setting 'loss.margn'; there is none"),
        (
            ["train", "--preset", "dcgan", "--set", "loss.margn=1", "--dry-run"],
            "config: no setting 'loss.margn'; there is: label_smoothing",
        ),
        (["train", "--set", "loss.name=hinges", "--dry-run"], "loss: there is no 'hinges'; did you mean 'hinge'?"),
        (
            ["train", "--set", "data.options.num_image=3", "--dry-run"],
            "config: no setting 'data.options.num_image'; did you mean 'num_",
        ),
        (
            ["train", "--data", "nowhere/"],
            "nowhere/: no such folder or file; give a folder of images, a .zip, .tar, .tgz or",
        ),
        (["train", "--data", "drwan"], "drwan: no such dataset, folder or file; did you mean 'drawn'?"),
        (["train", "--data", "empty", "--dry-run"], "empty: no images found (JPEG, PNG,"),
        (["train", "--data", "text.zip", "--dry-run"], "text.zip: not a zip, tar or parquet file ("),
        (
            ["train", "--set", "data.options.num_images=5", "--dry-run"],
            "drawn: found 5 images, need at least 64 (train.batch_size)",
        ),
    ],
)
def test_wrong_input_ends_in_one_line_and_exit_code_2_and_nothing_is_written(facegan, workplace, arguments, message):
    (workplace / "empty").mkdir()
    (workplace / "bad.toml").write_text("a = [")
    (workplace / "list.json").write_text("[1]")
    (workplace / "mine.yaml").write_text("seed: 1")
    (workplace / "text.zip").write_text("hello")
    before = sorted(workplace.rglob("*"))
    said = facegan(*arguments)
    assert said.complaint.removeprefix("facegan: ").startswith(message)
    assert said.code == 2
    assert sorted(workplace.rglob("*")) == before


def test_debug_shows_the_traceback_and_then_the_line(facegan):
    said = facegan("--debug", "sample", "gone", "-o", "a.png")
    assert said.code == 2
    assert said.err.startswith("Traceback (most recent call last)")
    assert said.err.splitlines()[-1].startswith("facegan: gone: no such run")


def test_folder_that_cannot_be_made_is_one_line_and_the_users_mistake(facegan, tiny, workplace):
    (workplace / "file").write_text("")
    said = facegan("train", *tiny, "--steps", 1, "--run", "file/run")
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "Not a directory" in said.err.splitlines()[-1]


def test_reader_who_leaves_is_no_error():
    """`facegan presets | head -1` ends without a complaint."""
    command = [sys.executable, "-m", "facegan", "presets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (
            ["train", "--lr", "1e-3"],
            "train: no such option: --lr; settings have --set: --set optimizer.lr_G=... or --set optimizer.lr_D=...",
        ),
        (["resume", "--lr-g", "1"], "no such option: --lr-g; settings have --set: --set optimizer.lr_G=..."),
        (["train", "--learning-rate", "1"], "--set optimizer.lr_G=... or --set optimizer.lr_D=..."),
        (
            ["train", "b.png"],
            "got unexpected extra argument (b.png); where a shell made several files of one pattern, "
            "quote the pattern, or give the folder",
        ),
        (
            ["train", "a.png", "b.png"],
            "got unexpected extra arguments (a.png b.png); where a shell made several files "
            "of one pattern, quote the pattern, or give the folder",
        ),
        (["train", "--data", "a.png", "b.png"], "quote the pattern, or give the folder"),
        (["data", "check", "a.png", "b.png"], "quote the pattern, or give the folder"),
        (["train", "--data", "lfw"], "take the folder of that name here as ./lfw, or run 'facegan download lfw'"),
    ],
)
def test_mistake_that_people_make_is_answered_with_what_would_be_right(facegan, workplace, arguments, advice):
    for name in ("a.png", "b.png"):
        (workplace / name).touch()
    (workplace / "lfw").mkdir()
    said = facegan(*arguments)
    assert said.code == 2 and said.complaint.endswith(advice)
