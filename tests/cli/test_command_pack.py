import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NETWORK = (
    "--batch-size", 2, "--steps", 1, "--device", "cpu", "--resolution", 16,
    "--set", "architecture.z_dim=12", "--set", "architecture.ngf=8", "--set", "architecture.ndf=8",
)  # fmt: skip
DRAWN = ("drawn", "--set", "data.options.num_images=6", "--resolution", "16")


@pytest.fixture(autouse=True)
def cache(own_cache):
    return own_cache


@pytest.fixture
def faces(workplace):
    """A folder of three images, one of them damaged."""
    folder = workplace / "faces"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.bmp")
    (folder / "bad.jpg").write_text("<html>quota</html>")
    (folder / "phone.heic").write_text("of a kind that is not read")
    return folder


def test_packed_folder_can_be_trained_on(facegan, workplace):
    said = facegan("pack", *DRAWN, "-o", "packed")
    assert (said.code, said.out) == (0, "packed\n")
    assert said.err == "drawn: 6 images, 16x16, 4.6 kB\n"
    assert [path.name for path in workplace.iterdir()] == ["packed"]
    assert facegan("train", *NETWORK, "--data", "packed", "--dry-run", "--json").json["num_images"] == 6
    assert facegan("train", *NETWORK, "--data", "packed").code == 0


def test_without_a_folder_it_packs_where_training_looks(facegan, faces):
    said = facegan("pack", "faces", "--resolution", 16)
    assert said.code == 0
    assert said.err.splitlines() == [
        "skipped 1 .heic",
        "skipped 1 image (bad.jpg: not an image (it begins like a web page))", "faces: 2 images, 16x16, 1.5 kB",
    ]  # fmt: skip
    trained = facegan("train", *NETWORK, "--data", "faces")
    assert trained.code == 0 and "packing" not in trained.err


def test_cached_images_are_said_to_be_packed_before(facegan, faces):
    said = [facegan("pack", "faces", "--resolution", 16).err.splitlines()[-1] for _ in range(2)]
    assert said == ["faces: 2 images, 16x16, 1.5 kB", "faces: 2 images, 16x16, 1.5 kB; packed before"]


def test_disk_without_room_for_a_folder_of_ones_own_is_reported_so(facegan, faces, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**5))
    said = facegan("pack", "faces", "--resolution", 16, "-o", "packed")
    assert said.code == 1 and said.complaint.endswith("free some, or choose a folder on another disk")


def test_json_says_how_it_was_packed_and_what_was_skipped(facegan, faces):
    document = facegan("pack", "faces", "--resolution", 16, "--set", "data.draft=true", "--json").json
    assert (document["num_images"], document["draft"], document["resolution"]) == (2, True, 16)
    assert document["skipped"] == [["bad.jpg", "not an image (it begins like a web page)"]]
    index = json.loads((Path(document["path"]) / "index.json").read_text())
    assert index["digest"] == document["digest"]


def test_packing_again_is_left_as_it_is_and_says_so(facegan, faces):
    first = facegan("pack", "faces", "--resolution", 16, "-o", "packed")
    again = facegan("pack", "faces", "--resolution", 16, "-o", "packed")
    assert (first.code, again.code) == (0, 0)
    assert again.err.splitlines()[-1] == "faces: 2 images, 16x16, 1.5 kB; packed before"


def test_verify_finds_what_size_and_time_hide(facegan, faces):
    facegan("pack", "faces", "--resolution", 16, "-o", "packed")
    status = (faces / "1.bmp").stat()
    Image.new("RGB", (40, 40), "red").save(faces / "1.bmp")
    os.utime(faces / "1.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert facegan("pack", "faces", "--resolution", 16, "-o", "packed").code == 0
    said = facegan("pack", "faces", "--resolution", 16, "-o", "packed", "--verify")
    assert said.code == 2
    assert said.complaint == (
        f"facegan: packed/: packed from other images than {faces} now holds, 1.bmp for one; "
        "choose another folder, or remove this one"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("nowhere",), "nowhere: no such dataset, folder or file; "),
        (("faces", "-o", "faces"), "faces: exists and holds no packed images; choose another folder"),
        (("faces", "--set", "train.steps=3"), "--set train.steps=3: has no effect here; you can set "),
        (("faces", "--resolution", "17"), "resolution"),
        (("faces", "-o", "afile/packed"), "afile: the packed images cannot be written (File exists); choose another"),
        ((), "missing argument 'source'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(facegan, faces, arguments, message):
    Path("afile").touch()
    said = facegan("pack", *arguments)
    assert said.code == 2 and message in said.complaint
    assert sorted(path.name for path in faces.iterdir()) == ["0.bmp", "1.bmp", "bad.jpg", "phone.heic"]


def test_packing_needs_no_torch(workplace):
    code = (
        "import contextlib, sys; from facegan.cli import main\n"
        f"with contextlib.suppress(SystemExit): main(['pack', *{DRAWN}, '-o', 'packed'])\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stderr.splitlines()[-1] == "False"


@pytest.mark.parametrize("name", ["packed", "."])
def test_empty_folder_is_filled_and_not_replaced(facegan, faces, workplace, monkeypatch, name):
    (workplace / "empty").mkdir()
    (workplace / "packed").symlink_to("empty")
    monkeypatch.chdir("empty" if name == "." else ".")
    said = facegan("pack", faces, "--resolution", 16, "-o", name)
    assert (said.code, said.out) == (0, f"{name}\n")
    assert sorted(path.name for path in (workplace / "empty").iterdir()) == [
        "images.npy", "index.json", "pictures.parquet", "skipped.json",
    ]  # fmt: skip
    assert (workplace / "packed").is_symlink() and not list(workplace.glob(".*"))


def test_verify_finds_damage_to_the_packed_pixels(facegan, faces):
    facegan("pack", "faces", "--resolution", 16, "-o", "packed")
    with Path("packed/images.npy").open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        file.write(b"damage")
    assert facegan("pack", "packed", "--resolution", 16).code == 0
    for arguments in (("packed",), ("faces", "-o", "packed")):
        said = facegan("pack", *arguments, "--resolution", 16, "--verify")
        assert said.code == 2
        assert said.complaint == ("facegan: packed/: damaged packed images (their digest is another); pack them again")


@pytest.mark.integration
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_packing_leaves_nothing_half_done(workplace, number, code):
    """Ctrl-C reaches every process of the group, as at a terminal."""
    command = [
        sys.executable,
        "-m",
        "facegan",
        "pack",
        "drawn",
        "--set",
        "data.options.num_images=100000",
        "-o",
        "packed",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as packing:
        growing = workplace / ".packed.partial" / "images.npy"
        end = time.monotonic() + 600
        while not growing.exists() or growing.stat().st_size < 2**20:
            assert packing.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        os.killpg(packing.pid, number)
        said = packing.communicate(timeout=600)[1]
    assert packing.returncode == code, said
    assert "Traceback" not in said and list(workplace.iterdir()) == []
    assert said.splitlines()[-1:] == ["facegan: stopped"]
