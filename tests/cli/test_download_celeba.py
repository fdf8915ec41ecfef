"""A miniature of CelebA in its own layout, from a Google Drive and a hub that are this machine."""

import hashlib
import io
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from webserver import page

NUM = 12
SHA = "0123456789abcdef0123456789abcdef01234567"
QUOTA = '<!DOCTYPE html><html><title>Quota exceeded</title><p class="uc-error-subcaption">Too many users</p></html>'
PLUGIN = """
from facegan.data.published import PublishedDataset
from facegan.downloads import DriveSource, File, HubSource, Patience, Publication

hasty = Patience(delay_seconds=0)

class Celebs(PublishedDataset):
    publication = Publication(
        name="celebs", title="Celebs", num_images=12, size_bytes=2_500, crop="center:178", licence="for research",
        licence_url="https://example.org/licence", by_hand="img_align_celeba.zip", by_hand_url="https://example.org",
        sources=(
            DriveSource(address="URL/uc", opens="img_align_celeba.zip", patience=hasty, files=(
                File(name="img_align_celeba.zip", at="zip", checksum="MD5"),
                File(name="list_attr_celeba.txt", at="attr", needed=False),
                File(name="list_eval_partition.txt", at="partition", needed=False),
                File(name="identity_CelebA.txt", at="identity", needed=False),
            )),
            HubSource(repo="flwrlabs/celeba", endpoint="URL", patience=hasty),
        ),
    )
"""
NAMES = [f"{number:06d}.jpg" for number in range(1, NUM + 1)]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of the test's own: what is downloaded is remembered there."""
    folder = tmp_path_factory.mktemp("cache").resolve()
    monkeypatch.setenv("FACEGAN_CACHE", str(folder))
    return folder


def jpeg(number):
    file = io.BytesIO()
    Image.new("RGB", (178, 218), (number * 20, 90, 60)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def drive(server, install):
    """Google Drive's four files, at /uc?...&id=NAME, and the dataset "celebs" that wants them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate(NAMES):
            archive.writestr(f"img_align_celeba/{name}", jpeg(number))
    attributes = [f"{name}  {1 if number % 3 == 0 else -1} -1" for number, name in enumerate(NAMES)]
    contents = {
        "zip": file.getvalue(),
        "attr": "\n".join([str(NUM), "Smiling Male", *attributes, ""]).encode(),
        "partition": "".join(f"{name} {number // 4}\n" for number, name in enumerate(NAMES)).encode(),
        "identity": "".join(f"{name} {number // 2}\n" for number, name in enumerate(NAMES)).encode(),
    }
    for key, content in contents.items():
        server.files[f"/uc?export=download&id={key}"] = content
    source = PLUGIN.replace("URL", server.url).replace("MD5", f"md5:{hashlib.md5(contents['zip']).hexdigest()}")
    install("celebplug", source, {"facegan.dataset": {"celebs": "celebplug:Celebs"}})
    return server


@pytest.fixture
def quota(drive):
    """Google Drive has nothing but its quota page."""
    drive.script["/uc"] = [page(QUOTA)]
    return drive


def test_archive_and_its_text_files_lie_together(facegan, drive, cache):
    said = facegan("download", "celebs", "--accept-licence")
    assert said.code == 0, said.err
    folder = cache / "datasets" / "celebs"
    assert said.out == f"celebs: {folder / 'img_align_celeba.zip'}; now: facegan train --data celebs\n"
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [
        "identity_CelebA.txt", "img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt",
    ]  # fmt: skip
    assert said.err.splitlines()[-1] == "celebs: 12 images, as published"


def test_the_images_do_without_the_text_files(facegan, drive):
    for key in ("attr", "partition", "identity"):
        del drive.files[f"/uc?export=download&id={key}"]
    said = facegan("download", "celebs", "--accept-licence")
    assert said.code == 0
    missing = [line.partition(" is missing")[0] for line in said.err.splitlines() if "is missing" in line]
    assert missing == [
        "celebs: list_attr_celeba.txt", "celebs: list_eval_partition.txt", "celebs: identity_CelebA.txt",
    ]  # fmt: skip


def test_quota_page_leads_to_the_next_source(facegan, quota):
    said = facegan("download", "celebs", "--accept-licence")
    assert said.code == 1  # this hub has nothing either
    assert said.err.splitlines()[2] == (
        "celebs: Google Drive answered with a web page: quota exceeded; too many people fetched this file lately, "
        "and it may be available again in a day; now Hugging Face flwrlabs/celeba"
    )


@pytest.fixture
def hub(server, monkeypatch):
    """The hub's repository with a shard for each part, as Hugging Face's libraries write them."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    tree = []
    for part, numbers in (("train", range(4)), ("valid", range(4, 8)), ("test", range(8, NUM))):
        pictures = [{"bytes": jpeg(number), "path": NAMES[number]} for number in numbers]
        smiling = [number % 3 == 0 for number in numbers]
        file = io.BytesIO()
        pq.write_table(pa.table({"image": pictures, "Smiling": smiling}), file)
        path, content = f"data/{part}-00000-of-00001.parquet", file.getvalue()
        lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        tree.append({"type": "file", "path": path, "size": len(content), "oid": "0" * 40, "lfs": lfs})
        server.files[f"/datasets/flwrlabs/celeba/resolve/{SHA}/{path}"] = content
    server.files["/api/datasets/flwrlabs/celeba"] = json.dumps({"id": "flwrlabs/celeba", "sha": SHA}).encode()
    server.files[f"/api/datasets/flwrlabs/celeba/tree/{SHA}"] = json.dumps(tree).encode()


def test_shards_of_the_hub_serve_when_the_quota_is_used_up(facegan, quota, hub, cache):
    said = facegan("download", "celebs", "--accept-licence")
    assert said.code == 0, said.err
    folder = cache / "datasets" / "celebs" / "flwrlabs--celeba"
    assert said.out == f"celebs: {folder}; now: facegan train --data celebs\n"
    assert said.err.splitlines()[-1] == "celebs: 12 images, as published"


@pytest.mark.parametrize("by", ["drive", "hub"])
def test_attributes_and_the_official_split_choose_images(facegan, drive, hub, by):
    if by == "hub":
        drive.script["/uc"] = [page(QUOTA)]
    assert facegan("download", "celebs", "--accept-licence").code == 0
    for settings, expected in (
        (["data.split=val"], 4),
        (["data.where=Smiling=1"], 4),
        (["data.where=Smiling=1", "data.split=test"], 1),
    ):
        narrow = ["architecture.ngf=4", "architecture.ndf=4"]
        flags = [word for setting in settings + narrow for word in ("--set", setting)]
        said = facegan("train", "--data", "celebs", "--batch-size", 2, "--dry-run", "--json", *flags)
        if expected < 2:
            assert said.code == 2 and "found 1 image, need at least 2" in said.err
        else:
            assert said.json["num_images"] == expected
