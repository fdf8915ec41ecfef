import json

import pytest

import celeba

CHOICE = ("--set", "data.split=train", "--set", "data.where=Smiling=1,Male=0")
TINY = (
    "--resolution", 16, "--batch-size", 4, "--device", "cpu", "--steps", 2, "--set", "architecture.z_dim=12",
    "--set", "architecture.ngf=8", "--set", "architecture.ndf=8",
)  # fmt: skip


def chosen():
    rows = zip(celeba.known("Smiling"), celeba.known("Male"), celeba.PARTS, strict=True)
    return sum(smiling and not male and part == "train" for smiling, male, part in rows)


@pytest.fixture(params=[celeba.folder, celeba.official_zip, celeba.kaggle_zip, celeba.parquet])
def source(request, workplace):
    return request.param(workplace / "celeba")


def test_dry_run_counts_the_chosen_images_of_celeba(facegan, source):
    said = facegan("train", "--data", source, *CHOICE, *TINY, "--dry-run", "--json")
    assert said.json["num_images"] == chosen() > 4
    assert said.json["config"]["data"]["where"] == "Smiling=1,Male=0"


def test_training_on_the_chosen_images_runs_and_resumes(facegan, workplace):
    folder = celeba.folder(workplace / "celeba")
    said = facegan("train", "--data", folder, *CHOICE, *TINY, "--run", "run")
    assert said.code == 0, said.err
    assert f"run: 2 steps on {chosen()} images, cpu" in said.err
    data = json.loads((workplace / "run" / "config.json").read_text())["data"]
    assert (data["split"], data["where"]) == ("train", "Smiling=1,Male=0")
    assert facegan("resume", "run", "--steps", 3).code == 0


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("Smilng=1", "data.where: there is no attribute 'Smilng'; did you mean 'Smiling'?"),
        ("Smiling=1,Smiling=0", "none of 60 images has data.where = 'Smiling=1,Smiling=0'; ask for less"),
        ("Smiling=5", "data.where: 'Smiling' is true or false, not '5'; give 1 or 0"),
    ],
)
def test_mistake_in_the_choice_is_one_line_and_nothing_is_written(facegan, workplace, where, message):
    folder = celeba.folder(workplace / "celeba")
    said = facegan("train", "--data", folder, "--set", f"data.where={where}", "--run", "run")
    assert said.code == 2
    assert said.complaint == f"facegan: {folder}: {message}"
    assert not (workplace / "run").exists()


def test_malformed_conditions_are_refused_before_the_source_is_looked_at(facegan, workplace):
    said = facegan("train", "--data", "nowhere/", "--set", "data.where=Smiling", "--run", "run")
    assert said.code == 2
    assert "config: data.where is 'Smiling'; it must be conditions such as Smiling=1,Male=0: " in said.complaint
    assert not (workplace / "run").exists()


def test_malformed_attributes_are_one_line(facegan, workplace):
    folder = celeba.folder(workplace / "celeba")
    text = workplace / "celeba" / "list_attr_celeba.txt"
    text.write_text("61\n" + text.read_text().partition("\n")[2])
    said = facegan("train", "--data", folder, *CHOICE, *TINY, "--dry-run")
    assert said.code == 2
    assert said.complaint.endswith(
        "list_attr_celeba.txt: line 1 says 61 images, but 60 follow; fix the file, or move it away to do without"
    )
