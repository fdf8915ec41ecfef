"""Every command that looks into the networks, on a run of `resnet`, which has no norm, no tanh and no 4x4 stages."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from facegan.checkpoint import load_generator
from facegan.cli import main
from facegan.projection import SearchSettings

SETTINGS = [
    "--resolution", "16", "--batch-size", "8", "--device", "cpu", "--steps", "4",
    *("--set", "data.options.num_images=600"), *("--set", "data.split=train"), *("--set", "output.state_every=2"),
    *("--set", "architecture.name=resnet"), *("--set", "architecture.z_dim=12"), *("--set", "architecture.width=8"),
    *("--set", "architecture.width_max=16"), *("--set", "architecture.group=4"),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory, shared_cache):
    folder = tmp_path_factory.mktemp("resnet") / "residual"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setenv("FACEGAN_CACHE", str(shared_cache))
        main(["train", *SETTINGS, "--run", str(folder)])
    assert not end.value.code
    return folder


@pytest.fixture
def residual(made, workplace):
    """A copy of the run, at runs/residual in the current folder; free to be changed."""
    shutil.copytree(made, workplace / "runs" / "residual")
    return Path("runs/residual")


def newest(run, kind="snapshots"):
    return sorted((run / kind).iterdir())[-1]


def test_dry_run_shows_its_settings_counts_and_guidelines(facegan):
    said = facegan("train", *SETTINGS, "--dry-run")
    assert said.code == 0, said.err
    assert ["architecture.name", "resnet"] in [line.split() for line in said.out.splitlines()]
    counts = facegan("train", *SETTINGS, "--dry-run", "--json").json
    blocks = sum(4 * width**2 + 18 * 4 * width + 4 * width for width in (16, 8))  # at 8 and at 16
    changes = 16 * 8
    assert counts["num_parameters_G"] == blocks + changes + 12 * 16 + 16 * 16 + 8 * 3
    assert counts["num_parameters_D"] == blocks + changes + 3 * 8 + 16 * 16 + 16
    assert [line["kept"] for line in counts["guidelines"]] == [False, False, True, False, False]


def test_resumed_run_equals_the_uninterrupted_one_to_the_bit(facegan, residual):
    shutil.copytree(residual, "runs/cut")
    for kind in ("states", "snapshots", "samples"):
        for path in Path("runs/cut", kind).glob("*00000[34]*"):
            path.unlink()
    assert facegan("resume", "runs/cut").code == 0
    whole, resumed = load_file(newest(residual, "states")), load_file(newest(Path("runs/cut"), "states"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_model_card_names_its_source(residual):
    card = (residual / "model-card.md").read_text()
    assert "| network | resnet, 16x16, 3 channels, latents of length 12 from a normal prior |" in card
    assert "arXiv:2501.05441" in card


def test_images_are_made_again_by_whois(facegan, residual):
    assert facegan("sample", residual, "-n", 4, "-o", "grid.png").code == 0
    answer = facegan("whois", "grid.png", "--json").json
    assert (answer["made_again"], answer["seeds"]) == (True, "0-3")
    images = load_generator(newest(residual)).sample(range(4))
    assert images.abs().max() <= 1


def test_directions_of_its_first_layer_are_found_and_used(facegan, residual):
    said = facegan("directions", residual, "--unlabelled", "--components", 3)
    assert said.code == 0, said.err
    assert [line.split()[0] for line in said.out.splitlines()[-3:]] == ["sefa-1", "sefa-2", "sefa-3"]
    assert facegan("edit", residual, "--seeds", "0-1", "--direction", "sefa-1:-2..2", "-o", "edit.png").code == 0


def test_images_are_projected_and_compared_by_its_features(facegan, residual, monkeypatch):
    monkeypatch.setattr("facegan.projection.comparison.NUM_COMPARED", 60)
    monkeypatch.setattr("facegan.projection.comparison.NUM_PROJECTED", 6)
    monkeypatch.setattr(
        "facegan.projection.SearchSettings", lambda **given: SearchSettings(**given | {"candidates": 256})
    )
    assert facegan("sample", residual, "--seeds", "7", "-o", "face.png").code == 0
    said = facegan("project", "face.png", "--model", residual, "--steps", 3, "--restarts", 2, "-o", "found.png")
    assert said.code == 0, said.err
    assert "pixels alone" not in said.err and "to D, " in said.out


def test_nearest_training_images_are_found_by_its_features(facegan, residual, monkeypatch):
    monkeypatch.setattr("facegan.neighbours.memorisation.RESAMPLES", 100)
    said = facegan("neighbours", residual, "-n", 40, "--seeds", "0-1", "-o", "near.png")
    assert said.code == 0, said.err
    assert "pixels alone" not in said.err and "D's features" in said.out


def test_metrics_by_its_features_are_measured(facegan, residual):
    said = facegan("evaluate", residual, "--metrics", "fd_discriminator,kd_discriminator", "-n", 40, "--json")
    assert said.code == 0, said.err
    assert [result["metric"] for result in said.json["results"]] == ["fd_discriminator", "kd_discriminator"]


def test_import_says_that_it_knows_no_residual_layout(facegan, residual):
    weights = {key[2:]: value for key, value in load_file(newest(residual)).items() if key.startswith("G.")}
    save_file(weights, "weights.safetensors")
    complaint = facegan("import", "weights.safetensors", "-o", "imported.safetensors").complaint
    assert "no generator of a known layout: 'head.0' is none of convolution, batch norm and linear layer" in complaint
    again = facegan("import", newest(residual), "-o", "imported.safetensors").complaint
    assert again.endswith(
        f"is a snapshot of facegan already; there is nothing to import ('facegan sample {newest(residual)}' takes it)"
    )
