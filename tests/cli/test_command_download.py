import pytest
from PIL import Image


def test_list_names_each_dataset_with_its_count_crop_and_licence(facegan):
    said = facegan("download", "--list")
    line = next(line for line in said.out.splitlines() if line.startswith("celeba "))
    assert "202,599" in line
    assert "center:178" in line
    assert "non-commercial research only" in line
    assert facegan("download", "--list", "--json").json["lfw"]["num_images"] == 13_233


def test_registered_copy_is_found_by_its_name(facegan, workplace, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("FACEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
    (workplace / "copy").mkdir()
    for number in range(16):
        Image.new("RGB", (178, 218), (number, 0, 0)).save(workplace / "copy" / f"{number:06d}.jpg")
    before = facegan("train", "--data", "celeba", "--dry-run")
    assert before.code == 2
    assert before.complaint == "facegan: celeba: known, but not downloaded; run 'facegan download celeba'"
    said = facegan("download", "celeba", "--from", "copy")
    assert said.code == 0
    assert said.out == f"celeba: {workplace / 'copy'}; now: facegan train --data celeba\n"
    plan = facegan("train", "--data", "celeba", "--batch-size", 16, "--dry-run", "--json").json
    assert plan["num_images"] == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["celebb"], "celebb: no such dataset; did you mean 'celeba'?"),
        (["celeba", "--from", "gone.zip"], "gone.zip: no such file or folder; give the copy of celeba that you have"),
        ([], "download: which dataset? there is: celeba, lfw, ffhq-thumbnails"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(facegan, arguments, message):
    said = facegan("download", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"
