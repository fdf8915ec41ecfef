"""A miniature of CelebA in its own layout, from a Google Drive and a hub that are this machine."""

import hashlib
import io
import zipfile

import pytest
from PIL import Image

from webserver import page

NUM = 12
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
    assert said.err.splitlines()[-1] == "celebs: 12 pictures, as published"


def test_pictures_do_without_the_text_files(facegan, drive):
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
        "and it may be free again in a day; now Hugging Face flwrlabs/celeba"
    )
