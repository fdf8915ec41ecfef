import io
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from described import vivid_run
from facegan.cli.directions import print_directions
from facegan.directions import DirectionInfo, Directions, FoundDirections, classifier
from facegan.directions.classifier import AttributeClassifier, AttributeScore


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vivid")
    vivid_run(folder / "run", folder / "images")
    return folder


@pytest.fixture
def vivid(made, workplace, monkeypatch):
    """A run of our own, whose images say which of them are bright."""
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 12)
    shutil.copytree(made / "run", workplace / "runs" / "vivid")
    return Path("runs/vivid")


def test_directions_are_found_and_stored_in_the_run_folder_and_trained_for_once(facegan, vivid, own_cache, monkeypatch):
    said = facegan("directions", vivid, "-n", 600, "--components", 2, "--device", "cpu")
    assert said.code == 0, said.err
    header, bright, *others, _, heading, odd = said.out.splitlines()[1:]
    assert header.split() == ["direction", "AUC", "share", "rule", "itself", "also", "moves"]
    assert re.fullmatch(r"bright +(0\.9\d|1\.00) +\d\d\.\d % +(0\.\d\d|1\.00) +\+\d\d", bright)
    assert [line.split()[0] for line in others] == ["sefa-1", "sefa-2"]
    assert heading.split() == ["no", "direction", "why"]
    assert re.fullmatch(r"odd +the classifier hardly recognises it \(held-out AUC 0\.\d\d, below 0\.75\)", odd)
    assert "2 attributes, the classifier is trained, and cached" in said.err
    assert said.err.endswith("runs/vivid/directions.safetensors: 3 directions\n")
    with safe_open(vivid / "directions.safetensors", framework="pt") as file:
        assert file.metadata()["format"] == "facegan-directions"
        assert file.get_tensor("vectors").shape == (3, 12)
        first = file.get_tensor("vectors")

    monkeypatch.setattr(classifier, "fit_network", lambda *_, **__: pytest.fail("trained again"))
    again = facegan("directions", vivid, "-n", 600, "--components", 2, "--json", "-o", "new/d.safetensors").json
    assert again["classifier"]["cached"] is True
    assert again["classifier"]["scores"][0]["auc"] > 0.9
    bright, sefa, _ = again["directions"]
    assert (bright["name"], bright["kind"], sefa["name"], sefa["kind"]) == ("bright", "labelled", "sefa-1", "sefa")
    assert bright["auc"] > 0.8
    assert bright["moved"]["bright"] > 0.3
    assert again["file"] == "new/d.safetensors"
    with safe_open("new/d.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("vectors"), first)


def test_attributes_chooses_and_one_that_is_not_recognised_is_an_error_with_its_reason(facegan, vivid):
    said = facegan("directions", vivid, "-n", 600, "--components", 0, "--attributes", "bright")
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == ["bright"]
    said = facegan("directions", vivid, "-n", 600, "--components", 0, "--attributes", "odd", "-o", "odd.safetensors")
    assert said.code == 2
    assert "no direction could be found (odd: the classifier hardly recognises it (held-out AUC 0." in said.err
    assert not Path("odd.safetensors").exists()
    said = facegan("directions", vivid, "-n", 600, "--keep", "odd")
    assert said.code == 2
    assert "--keep odd: has no direction: the classifier hardly recognises it (held-out AUC 0." in said.err


def test_kept_attribute_is_not_kept_from_itself(facegan, vivid):
    facegan("directions", vivid, "-n", 600, "--components", 0, "-o", "free.safetensors")
    said = facegan("directions", vivid, "-n", 600, "--components", 0, "--keep", "bright", "--json")
    assert said.json["directions"][0]["kept"] == []  # it is not kept from itself
    with safe_open("free.safetensors", framework="pt") as free, safe_open(said.json["file"], framework="pt") as kept:
        assert torch.equal(free.get_tensor("vectors"), kept.get_tensor("vectors"))


def test_unlabelled_needs_no_images(facegan, vivid, monkeypatch, made):
    alone = Path("alone.safetensors")
    shutil.copy(vivid / "snapshots" / "step-00000004.safetensors", alone)
    said = facegan("directions", alone, "--unlabelled", "-o", "d.safetensors")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == "G's first layer (SeFa)"
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == [f"sefa-{n}" for n in range(1, 9)]
    with safe_open("d.safetensors", framework="pt") as file:
        vectors = file.get_tensor("vectors")
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(8), atol=1e-5, rtol=0)


def test_images_without_attributes_give_directions_of_the_weights(facegan, vivid, made):
    bare = Path("bare")
    shutil.copytree(made / "images", bare)
    (bare / "attributes.csv").unlink()
    said = facegan("directions", vivid, "--data", bare, "--components", 1)
    assert said.code == 0, said.err
    assert "nothing is known of its images; directions of G's first layer only (SeFa)" in said.err
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == ["sefa-1"]
    assert facegan("directions", vivid, "--data", bare, "--attributes", "bright").code == 2


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--unlabelled", "--attributes", "smile"],
         "--unlabelled takes no --attributes, --keep or --data: it looks at G alone"),
        (["--components", -1], "--components is -1; it must be at least 0"),
        (
            ["--unlabelled", "--components", 0],
            "--unlabelled --components 0: finds no direction; give 1 component or more",
        ),
        (["--components", 13], "--components 13: z has 12 dimensions; give at most that"),
        (["-n", 499], "-n 499: too few samples to fit directions in 12 dimensions; give 500 or more"),
        (["-o", "d.png"], "-o d.png: directions are saved as .safetensors; end it so"),
    ],
)  # fmt: skip
def test_mistaken_flag_is_refused_in_one_line(facegan, vivid, flags, complaint):
    said = facegan("directions", vivid, *flags)
    assert (said.code, said.complaint.removeprefix("facegan: ").removeprefix("error: ")) == (2, complaint)


def test_unknown_attribute_gets_the_nearest(facegan, vivid):
    for flag in ("--attributes", "--keep"):
        said = facegan("directions", vivid, flag, "brigth")
        assert said.code == 2
        assert re.search(rf"{flag}: .*images has no attribute 'brigth'; did you mean 'bright'\?$", said.err.strip())


def test_another_file_is_never_replaced(facegan, vivid):
    snapshot = vivid / "snapshots" / "step-00000004.safetensors"
    before = snapshot.read_bytes()
    said = facegan("directions", vivid, "--unlabelled", "-o", snapshot)
    assert said.code == 2
    assert said.complaint == (
        f"facegan: -o {snapshot}: is not replaced by directions (not directions of facegan); choose another name"
    )
    assert snapshot.read_bytes() == before


def test_snapshot_outside_of_a_run_needs_an_output_path_and_a_source(facegan, vivid, made):
    shutil.copy(vivid / "snapshots" / "step-00000004.safetensors", "G.safetensors")
    said = facegan("directions", "G.safetensors")
    assert said.code == 2
    assert said.complaint.endswith("G.safetensors is not in a run's folder; give -o directions.safetensors")
    said = facegan("directions", "G.safetensors", "-o", "d.safetensors")
    assert said.code == 2
    assert said.complaint.endswith(
        "G.safetensors: was trained on images called 'images', which are not here; say where they are with "
        "--data SOURCE, or take --unlabelled, which needs none"
    )
    said = facegan("directions", "G.safetensors", "-o", "d.safetensors", "--data", made / "images", "-n", 600)
    assert said.code == 0, said.err


def test_images_with_nothing_left_to_learn_from_are_named_with_the_way_out(facegan, vivid, own_cache, monkeypatch):
    monkeypatch.setattr(classifier, "held_out_rows", lambda images: np.ones(len(images), bool))
    said = facegan("directions", vivid, "-n", 600)
    assert said.code == 2
    assert said.err.splitlines()[-1].endswith(
        "images: nothing is left to learn from: the images are of few people, all among the fifth that the "
        "classifier is evaluated on; add images of others, or take --unlabelled, which needs none"
    )


NAMES = ["facial_hair=moustache", "skin=porcelain", "eye_colour=brown", "mouth=open smile", "shift_y"]


@pytest.fixture
def found():
    """Directions that move nearly everything, and their classifier."""
    infos = [DirectionInfo(name=name, kind="labelled", share=0.123, auc=0.9) for name in NAMES]
    infos += [DirectionInfo(name="sefa-1", kind="sefa", share=0.2)]
    moved = torch.linspace(-1, 1, 30).view(6, 5)
    scores = {
        name: AttributeScore(name=name, num=200, base_rate=0.5, accuracy=0.9, balanced_accuracy=0.9, auc=0.95)
        for name in NAMES
    }
    trained = AttributeClassifier(torch.nn.Flatten(), NAMES, scores)
    refused = {"glasses_style=none": "the classifier hardly recognises it (held-out AUC 0.58, below 0.75)"}
    return FoundDirections(Directions(infos, torch.eye(6), NAMES, moved, "d" * 64, 7), trained, False, refused)


def test_table_fits_a_terminal_of_80_columns_with_a_line_per_direction(found, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    print_directions(found, ())
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    directions = [line.split("  ")[0] for line in lines[2:8]]
    assert directions == [*NAMES, "sefa-1"]
    assert "…" not in screen.getvalue()
    assert "".join(screen.getvalue().split()).endswith("below0.75)")


def test_table_without_a_terminal_fits_80_columns_too_and_names_what_moves_most_first(found, capsys):
    print_directions(found, ("shift_y",))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [" ".join(line.split()) for line in (lines[2], lines[7])] == [
        "facial_hair=moustache 0.95 12.3 % 0.90 -100 skin=porcelain -93",
        "sefa-1 20.0 % shift_y +100",
    ]
