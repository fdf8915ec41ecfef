import re
import tomllib

import pytest

from facegan.config import preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_value_of_a_preset_is_printed_with_its_source(facegan, name):
    said = facegan("presets", name)
    values = [line for line in said.out.splitlines() if re.match(r"\w+ *=", line)]
    assert len(values) > 10
    named = r"R3GAN|DCGAN|EDM2|StyleGAN2|DiffAugment|\w+ \d{4}|\w+ and \w+ \d{4}|\w+ et al\. \d{4}"
    source = rf"# (paper|tutorial|notebooks|ours|measured|({named})('s \w+)?( \([\w ]+\))?)[,:] "
    assert [line for line in values if not re.search(source, line)] == []


def test_all_presets_are_printed_the_default_first_and_are_valid_toml(facegan):
    said = facegan("presets")
    heads = re.findall(r"^### facegan train --preset (\S+)$", said.out, re.MULTILINE)
    assert heads == preset_names()
    assert heads[0] == "faces"
    assert {"dcgan", "dcgan-32", "dcgan-linear", "faces-128", "faces-256", "few", "demo"} <= set(heads)
    for text in re.split(r"^### .*$", said.out, flags=re.MULTILINE):
        tomllib.loads(text)


def test_json_holds_every_value(facegan):
    document = facegan("presets", "--json").json
    assert list(document) == preset_names()
    linear = document["dcgan-linear"]
    assert linear["architecture"]["head"] == "linear"
    assert linear["architecture"]["prior"] == "uniform"
    assert linear["loss"] == {"name": "nonsaturating", "label_smoothing": 0.1}
    assert (linear["train"]["batch_size"], linear["train"]["epochs"], linear["train"]["fresh_z"]) == (64, 10, True)
    assert facegan("presets", "dcgan-32", "--json").json == {"dcgan-32": document["dcgan-32"]}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_trained(facegan, name):
    settings = ("width=8", "width_max=16", "group=8", "blocks=1") if name.startswith("best-") else ("ngf=4", "ndf=4")
    narrow = [part for setting in settings for part in ("--set", f"architecture.{setting}")]
    assert facegan("train", "--preset", name, "--batch-size", 2, *narrow, "--dry-run").code == 0


def test_preset_faces_is_the_default(facegan):
    default = facegan("train", "--dry-run", "--json").json["config"]
    assert facegan("train", "--preset", "faces", "--dry-run", "--json").json["config"] == default


def test_a_config_file_alone_changes_the_settings_of_dcgan(facegan, workplace):
    (workplace / "mine.toml").write_text("seed = 3\n")
    alone = facegan("train", "--config", "mine.toml", "--dry-run", "--json").json["config"]
    assert alone == facegan("train", "--preset", "dcgan", "--seed", 3, "--dry-run", "--json").json["config"]


@pytest.mark.parametrize("command", [["presets"], ["train", "--preset"]])
def test_mistyped_preset_is_answered_with_the_nearest(facegan, command):
    said = facegan(*command, "dcgan-23")
    assert said.code == 2
    assert said.complaint.startswith("facegan: preset: there is no 'dcgan-23'; did you mean 'dcgan-32'")
