import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.checkpoint import save_snapshot
from facegan.data.drawn import DrawnFaces
from facegan.generator import FaceGenerator
from facegan.storage.safetensors_file import open_tensors, read_tensors, write_tensors

FEW = ("-n", 40, "--seeds", "0-1")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("facegan.neighbours.memorisation.RESAMPLES", 100)


@pytest.fixture
def untrained(make_tiny, workplace):
    """untrained("name", source) -> the run's only snapshot, of networks that have learned nothing."""

    def make(name, source, *settings):
        config = make_tiny(*settings, data=source)
        run = workplace / "runs" / name
        (run / "snapshots").mkdir(parents=True)
        (run / "config.json").write_text(config.to_json())
        architecture = config.part("architecture")
        networks = {"G": architecture.generator(16, 3), "D": architecture.discriminator(16, 3)}
        save_snapshot(run / "snapshots" / "step-00000003.safetensors", config, 3, networks)
        return run / "snapshots" / "step-00000003.safetensors"

    return make


@pytest.fixture
def split_run(untrained):
    """A run on those of 48 drawn faces that data.split = train leaves."""
    untrained("split", "drawn", "data.split=train", "data.options.num_images=48")
    return "split"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def test_image_and_measure_of_a_run_with_held_out_images(facegan, split_run):
    said = facegan("neighbours", split_run, *FEW)
    assert said.code == 0, said.err
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0] == "neighbours.png"
    counts = re.fullmatch(r"40 samples and (\d+) held-out images against (\d+) training images:", lines[2])
    assert int(counts[1]) + int(counts[2]) == 48
    share = r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)"
    assert re.search(rf"^samples nearer than held-out images +0\.500 +{share} +{share}$", said.out, re.M)
    assert re.search(rf"^nearer than the nearest 1 % of those +0\.010 +{share} +{share}$", said.out, re.M)
    assert re.search(r"^nearest to a training image, of all +0\.\d{3} +\d\.\d{3} \(by chance ", said.out, re.M)
    side = 112 + 6
    assert pixels("neighbours.png").shape[1] == 24 + 7 * side - 6


def test_copies_are_called_memorising_and_others_are_not(facegan, split_run, store, monkeypatch):
    """A generator that draws its training images, in the place of one that would take long to train."""
    training, others = store(num=60), store(num=60, seed=5, at="others")
    flags = ("--data", training, "--held-out", others, "-n", 50)
    for drawn, verdict in (
        (
            training,
            "In part at least, it memorises: in pixels, more samples than by chance are nearest to a training image.",
        ),
        (
            store(num=60, seed=9, at="fresh"),
            "No sign of memorising: in pixels, samples are as near to images that were not trained on.",
        ),
    ):
        faces = torch.from_numpy(np.load(drawn / "images.npy")) / 127.5 - 1
        monkeypatch.setattr(FaceGenerator, "images", lambda self, z, faces=faces: faces[: len(z)])
        said = facegan("neighbours", split_run, "--seeds", "0-3", *flags)
        assert said.out.splitlines()[-1] == verdict


def test_too_few_held_out_images_give_no_verdict(facegan, run, store):
    others = store(num=2, seed=5, at="others")
    flags = ("--data", store(num=100), "--held-out", others, "-n", 10, "--seeds", 0)
    assert facegan("neighbours", run, *flags).out.splitlines()[-1] == (
        "Too few samples or held-out images to decide: in pixels, chance alone explains any share."
    )


def test_mirror_images_count_where_they_were_trained_on(facegan, run, untrained, store, monkeypatch):
    source = store(num=20)
    faces = torch.from_numpy(np.load(source / "images.npy")[:, :, :, ::-1].copy()) / 127.5 - 1
    untrained("on-both", source, "data.mirror=true")
    monkeypatch.setattr(FaceGenerator, "images", lambda self, z: faces[: len(z)])
    flags, found = ("--data", source, "-n", 0, "--seeds", "0-4", "--nearest", 1, "--json"), []
    for model in ("on-both", run):
        document = facegan("neighbours", model, *flags).json
        found.append([near["pixels"][0] for near in document["neighbours"]])
    assert [(each["index"], each["distance"], each["mirrored"]) for each in found[0]] == [
        (index, 0.0, True) for index in range(5)
    ]
    assert not any(each["mirrored"] or each["distance"] == 0 for each in found[1])


def test_json_has_every_number(facegan, split_run):
    document = facegan("neighbours", split_run, "-n", 40, "--seeds", "3,5", "--json").json
    assert document["file"] == "neighbours.png"
    assert document["num_samples"] == 40
    assert document["num_heldout"] + document["training"]["num_images"] == 48
    assert document["no_measure"] == ""
    assert set(document["memorisation"]) == {"pixels", "features"}
    for each in document["memorisation"].values():
        assert 0 <= each["nearer"]["interval"][0] <= each["nearer"]["value"] <= each["nearer"]["interval"][1] <= 1
    assert [each["point"] for each in document["neighbours"]] == [3, 5]
    near = document["neighbours"][0]["pixels"]
    assert [each["distance"] for each in near] == sorted(each["distance"] for each in near)
    assert len(near) == 3
    assert all(re.fullmatch(r"drawn-\d{5}\.png", each["name"]) for each in near)


def test_nearest_training_image_is_the_one_that_is_named(facegan, split_run):
    facegan("sample", split_run, "--seeds", 4, "-o", "four.png")
    near = facegan("neighbours", split_run, "-n", 0, "--seeds", 4, "--json").json["neighbours"][0]["pixels"][0]
    opened = DrawnFaces(num_images=48).open()
    ((_, image),) = opened.read([near["name"]], 16)
    difference = pixels("four.png").astype(float) - np.asarray(image)
    assert near["distance"] == pytest.approx(np.sqrt(np.mean((difference / 127.5) ** 2)), rel=1e-5)


def test_drawn_faces_that_were_all_trained_on_are_measured_by_others(facegan, run):
    document = facegan("neighbours", "-n", 20, "--seeds", 0, "--json").json
    assert (document["training"]["num_images"], document["num_heldout"], document["num_samples"]) == (48, 20, 20)


def test_every_option_of_the_image_changes_it_and_it_says_what_it_contains(facegan, run):
    said = facegan("neighbours", "-n", 0, "--seeds", "0-1,9", "-o", "three.png")
    assert (said.code, said.out, said.err) == (0, "three.png\n", "")  # -n 0 measures nothing, and says nothing of it
    facegan("neighbours", "-n", 0, "--seeds", "0-1", "--nearest", 1, "-o", "two.webp")
    three, two = pixels("three.png"), pixels("two.webp")
    assert three.shape[0] - two.shape[0] == 112 + 16 + 6
    assert three.shape[1] - two.shape[1] == 4 * (112 + 6)
    with Image.open("three.png") as image:
        assert image.text["Description"] == (
            "synthetic faces next to their nearest training images: contains training images"
        )
        assert (image.text["seeds"], image.text["weights"]) == ("0-1,9", "G_ema")
        assert "recipe" not in image.text


def test_folder_that_was_all_trained_on_is_shown_and_not_measured(facegan, run, store):
    source = store(num=30)
    said = facegan("neighbours", run, "--data", source, *FEW)
    assert (said.code, said.out) == (0, "neighbours.png\n")
    assert said.err == (
        "no measure: data.split = all kept no images away from this run; train with --set data.split=train, or name "
        "images that it has not seen with --held-out SOURCE\n"
    )
    document = facegan("neighbours", run, "--data", source, *FEW, "--json").json
    assert document["training"]["num_images"] == 30
    assert document["memorisation"] == {}
    assert document["no_measure"] + "\n" == said.err


def test_held_out_images_that_were_trained_on_are_left_out_or_refused(facegan, run, store):
    source, others = store(num=30), store(num=12, seed=5, at="others")
    mixed = np.load(others / "images.npy")
    mixed[:3] = np.load(source / "images.npy")[:3]
    np.save(others / "images.npy", mixed)
    said = facegan("neighbours", run, "--data", source, "--held-out", others, *FEW, "--json")
    assert said.err == "3 held-out images left out: also in the training set\n"
    assert said.json["num_heldout"] == 9
    said = facegan("neighbours", run, "--data", source, "--held-out", source, *FEW)
    assert said.code == 2
    assert said.complaint == f"facegan: {source}: every held-out image is also a training image; give others"


def test_lone_snapshot_of_a_folder_needs_the_place_of_its_images(facegan, untrained, store):
    source = store(num=30)
    snapshot, flags = untrained("mine", source), ("-n", 0, "--seeds", 0)
    assert facegan("neighbours", "mine", *flags).code == 0
    shutil.copy(snapshot, "alone.safetensors")
    shutil.move(source, "moved")
    said = facegan("neighbours", "alone.safetensors", *flags)
    assert said.code == 2
    assert said.complaint == (
        "facegan: alone.safetensors: was trained on images called 'pictures', which are not here; say where they are "
        "with --data SOURCE"
    )
    said = facegan("neighbours", "alone.safetensors", *flags, "--data", "moved")
    assert (said.code, said.out) == (0, "neighbours.png\n")


def test_snapshot_without_discriminator_is_compared_in_pixels_alone(facegan, run):
    whole, metadata = read_tensors(newest(run)), open_tensors(newest(run), "snapshot").metadata
    tensors = {key: value for key, value in whole.items() if not key.startswith("D.")}
    write_tensors(Path("G.safetensors"), "snapshot", tensors, {key: metadata[key] for key in ("config", "step")})
    said = facegan("neighbours", "G.safetensors", *FEW, "--json")
    assert said.code == 0, said.err
    assert said.err == (
        "G.safetensors: holds no discriminator, only a generator; take a snapshot of a run of facegan; "
        "comparing pixels alone\n"
    )
    assert set(said.json["memorisation"]) == {"pixels"}
    assert pixels("neighbours.png").shape[1] == 24 + 4 * 118 - 6


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (
            ["--seeds", "5-1"],
            "--seeds 5-1: the range '5-1' runs backwards; give 1-5",
        ),
        (
            ["-o", "near.gif"],
            "-o near.gif: cannot write '.gif'; end it in .png, .jpg, .jpeg, .webp",
        ),
        (
            ["-n", "0", "--held-out", "drawn"],
            "--held-out drawn: is for the measure, which -n 0 skips; give one of them",
        ),
        (
            ["--seeds", "0-2000", "--nearest", "3"],
            "2,001 samples with 6 images each are too many for one sheet; ask for at most 711, or for fewer --nearest",
        ),
    ],
)
def test_mistakes_are_refused_in_one_line(facegan, run, flags, complaint):
    said = facegan("neighbours", *flags)
    assert said.code == 2
    assert said.complaint == f"facegan: {complaint}"


def test_device_that_is_not_there_is_refused(facegan, run):
    said = facegan("neighbours", "--device", "cuda:77")
    assert said.code == 2
    assert "cuda:77" in said.complaint


def test_more_neighbours_than_training_images_are_refused(facegan, run, store):
    said = facegan("neighbours", "--data", store(num=5), "--nearest", 6)
    assert said.code == 2
    assert said.complaint == "facegan: --nearest 6: there are 5 training images; ask for fewer"
