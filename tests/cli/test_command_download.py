import contextlib
import io
import os
import signal
import sys
import threading
import zipfile

import pytest
from PIL import Image

from facegan.cli import main
from webserver import page, status

PLUGIN = """
from facegan.data.published import PublishedDataset
from facegan.downloads import File, Patience, Publication, WebSource

def source(host):
    return WebSource(host=host, opens="toys.zip", patience=Patience(delay_seconds=0),
                     files=(File(name="toys.zip", at="URL/" + host + "/toys.zip"),))

class Toys(PublishedDataset):
    publication = Publication(
        name="toys", title="Toys (Maker 2020)", num_images=16, size_bytes=2_500_000, crop="center:8",
        licence="do as you like", licence_url="https://example.org/licence", by_hand="toys.zip",
        by_hand_url="https://example.org/toys", sources=(source("first"), source("second")),
    )
"""
LICENCE = "toys: licence: do as you like (https://example.org/licence)"
FIRST = "/first/toys.zip"


@pytest.fixture(autouse=True)
def cache(own_cache):
    return own_cache


@pytest.fixture
def archive(workplace):
    """archive("mine.zip", 16) -> a zip of so many images in the current folder."""

    def make(name="mine.zip", num=16):
        with zipfile.ZipFile(workplace / name, "w") as file:
            for number in range(num):
                content = io.BytesIO()
                Image.new("RGB", (8, 8), (number, 0, 0)).save(content, "PNG")
                file.writestr(f"faces/{number:02d}.png", content.getvalue())
        return workplace / name

    return make


@pytest.fixture
def toys(server, install, archive):
    """An installed dataset of 16 images; both its sources have it."""
    install("toyplug", PLUGIN.replace("URL", server.url), {"facegan.dataset": {"toys": "toyplug:Toys"}})
    content = archive().read_bytes()
    server.files |= {FIRST: content, "/second/toys.zip": content}
    return server


class Terminal(io.StringIO):
    def isatty(self):
        return True


def at_terminal(*arguments, answer, monkeypatch):
    """Run a command as at a terminal where a person types an answer: the exit code, stdout and stderr."""
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setenv("TERM", "dumb")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as exit:
        main(list(arguments))
    return exit.value.code or 0, out.getvalue(), err.getvalue()


# The list


def test_list_names_each_dataset_with_count_size_crop_licence_and_place(facegan, archive):
    said = facegan("download", "--list")
    line = next(line for line in said.out.splitlines() if line.startswith("celeba "))
    for words in ("202,599", "1.4 GB", "center:178", "non-commercial research only", "CelebA, aligned and cropped"):
        assert words in line
    assert line.split()[-1] == "no"
    facegan("download", "lfw", "--from", archive())
    line = next(line for line in facegan("download", "--list").out.splitlines() if line.startswith("lfw "))
    assert line.rstrip().endswith("mine.zip (16 of them)")


def test_list_as_json_says_all_that_is_known(facegan, archive):
    facegan("download", "lfw", "--from", archive())
    listed = facegan("download", "--list", "--json").json
    assert list(listed) == ["celeba", "lfw", "ffhq-thumbnails", "inception"]
    assert listed["lfw"]["num_images"] == 13_233
    assert (listed["lfw"]["path"], listed["lfw"]["num_images_here"]) == (str(archive()), 16)
    assert listed["celeba"]["path"] is None
    assert listed["celeba"]["licence_url"] == "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    assert listed["celeba"]["sources"][0] == "Google Drive"


def test_list_reports_copies_that_have_gone_and_of_broken_datasets(facegan, archive, install):
    facegan("download", "lfw", "--from", archive())
    archive().unlink()
    install("toyplug", "raise RuntimeError('no such luck')", {"facegan.dataset": {"toys": "toyplug:Toys"}})
    said = facegan("download", "--list")
    assert said.code == 0
    broken, gone = said.err.splitlines()
    assert broken.startswith("dataset 'toys': cannot be loaded from toyplug 1.0 (RuntimeError: no such luck)")
    assert gone.startswith("lfw: registered at ")


# Fetching


def test_installed_dataset_is_fetched_and_trained_on_by_its_name(facegan, toys, cache):
    said = facegan("download", "toys", "--accept-licence")
    path = cache / "datasets" / "toys" / "toys.zip"
    assert said.code == 0
    assert said.out == f"toys: {path}; now: facegan train --data toys\n"
    lines = said.err.splitlines()
    assert lines[:2] == [LICENCE, "toys: fetching from first"]
    assert lines[2:] == [  # a quick transfer is not shown
        "toys: no checksum of toys.zip is published; those of all its members are right",
        "toys: 16 images, as published",
    ]
    plan = facegan("train", "--data", "toys", "--batch-size", 16, "--dry-run", "--json").json
    assert plan["num_images"] == 16


def test_complete_dataset_is_left_alone_and_says_so(facegan, toys):
    first = facegan("download", "toys", "--accept-licence")
    asked = len(toys.asked)
    again = facegan("download", "toys")
    assert (again.code, again.out) == (0, first.out)
    assert again.err == "toys: already here, nothing is fetched (16 images, as published)\n"
    assert len(toys.asked) == asked


def test_json_says_where_it_is(facegan, toys, cache):
    said = facegan("download", "toys", "--accept-licence", "--json")
    path = str(cache / "datasets" / "toys" / "toys.zip")
    assert said.json == {"name": "toys", "path": path, "num_images": 16, "source": "first"}


def test_next_source_is_tried_and_the_reason_said(facegan, toys):
    toys.script[FIRST] = [page("<html><title>Quota exceeded</title></html>")]
    said = facegan("download", "toys", "--accept-licence")
    assert said.code == 0
    assert (
        "toys: first: 127.0.0.1 answered with a web page ('Quota exceeded') where the file should be; now second"
        in said.err.splitlines()
    )


def test_when_no_source_works_the_message_says_what_to_fetch_by_hand(facegan, toys):
    toys.script = {FIRST: [status(404)], "/second/toys.zip": [status(403)]}
    said = facegan("download", "toys", "--accept-licence")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[2:] == [
        "toys: first: 127.0.0.1 answered 404 Not Found; now second",
        "toys: second: 127.0.0.1 answered 403 Forbidden; there is no further source",
        "facegan: toys: no source worked; fetch toys.zip by hand from https://example.org/toys, "
        "then run: facegan download toys --from toys.zip",
    ]


def test_root_says_where_files_go_and_is_remembered(facegan, toys, workplace):
    said = facegan("download", "toys", "--accept-licence", "--root", "disk")
    path = workplace / "disk" / "toys" / "toys.zip"
    assert said.out.startswith(f"toys: {path};")
    assert facegan("download", "toys", "--root", "disk").out == said.out
    path.unlink()
    assert facegan("download", "toys").out == said.out
    elsewhere = facegan("download", "toys", "--root", "other")
    assert elsewhere.code == 2
    assert elsewhere.complaint == f"facegan: --root other: toys is here already, at {path}; move it and give --from"


def test_interrupted_download_is_kept_and_goes_on(facegan, start, toys, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site-toyplug"), *sys.path]))
    content = toys.files[FIRST]
    waiting = threading.Event()

    def half(request, content):
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("ETag", '"1"')
        request.end_headers()
        request.wfile.write(b"x" * 100)
        request.wfile.flush()
        waiting.wait(60)

    toys.script[FIRST] = [half]
    process = start("download", "toys", "--accept-licence")
    process.wait_for(cache / "datasets" / "toys" / "partial" / "first" / "toys.zip.part.json", "total")
    said = process.stop(signal.SIGINT)
    waiting.set()
    assert (said.code, said.out) == (130, "")
    assert said.err.splitlines()[-1] == (
        "facegan: stopped; the bytes received are kept, and the same command continues"
    )
    assert "Traceback" not in said.err
    assert facegan("download", "toys").code == 0
    assert (cache / "datasets" / "toys" / "toys.zip").read_bytes() == content


# The licence


def test_the_licence_must_be_accepted_before_any_request(facegan, toys):
    said = facegan("download", "toys")
    assert said.code == 2
    assert said.complaint == (
        "facegan: toys: its licence must be accepted once: do as you like (https://example.org/licence); "
        "if you do, add --accept-licence"
    )
    assert toys.asked == []


def test_accepted_licence_is_not_asked_for_again(facegan, toys, cache):
    facegan("download", "toys", "--accept-licence")
    (cache / "datasets" / "toys" / "toys.zip").unlink()
    said = facegan("download", "toys")
    assert said.code == 0
    assert said.err.splitlines()[0] == LICENCE


def test_person_at_a_terminal_is_asked(toys, monkeypatch):
    code, out, err = at_terminal("download", "toys", answer="n\n", monkeypatch=monkeypatch)
    assert (code, out, toys.asked) == (2, "", [])
    assert LICENCE in err and "Do you accept it? [y/N] " in err
    assert err.endswith("facegan: toys: the licence was not accepted, and nothing was fetched\n")
    code, out, _ = at_terminal("download", "toys", answer="y\n", monkeypatch=monkeypatch)
    assert code == 0
    assert out.startswith("toys: ")


# Copies that a person has


def test_own_copy_is_registered_in_place_with_its_count(facegan, workplace, archive):
    before = facegan("train", "--data", "celeba", "--dry-run")
    assert before.code == 2
    assert before.complaint == "facegan: celeba: known, but not downloaded; run 'facegan download celeba'"
    said = facegan("download", "celeba", "--from", archive().name)
    assert said.code == 0
    assert said.out == f"celeba: {workplace / 'mine.zip'}; now: facegan train --data celeba\n"
    assert said.err.splitlines() == [
        "celeba: licence: non-commercial research only; no redistribution of any portion "
        "(https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)",
        "celeba: 16 of 202,599 images",
    ]
    plan = facegan("train", "--data", "celeba", "--batch-size", 16, "--dry-run", "--json").json
    assert plan["num_images"] == 16


def test_a_folder_of_images_alone_is_a_copy(facegan, workplace):
    (workplace / "copy" / "img_align_celeba").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (178, 218)).save(workplace / "copy" / "img_align_celeba" / f"{number:06d}.jpg")
    said = facegan("download", "celeba", "--from", "copy")
    assert said.out == f"celeba: {workplace / 'copy'}; now: facegan train --data celeba\n"
    assert said.err.splitlines()[-1] == "celeba: 3 of 202,599 images"


def test_a_copy_that_is_not_the_published_file_is_reported(facegan, archive):
    said = facegan("download", "celeba", "--from", archive("img_align_celeba.zip"))
    assert said.err.splitlines()[0] == (
        "celeba: img_align_celeba.zip does not have the published md5; it is used as it is"
    )


def test_copy_at_an_address_is_fetched(facegan, toys, cache, archive):
    toys.files["/mine/some.zip"] = archive("some.zip", 5).read_bytes()
    said = facegan("download", "toys", "--from", f"{toys.url}/mine/some.zip", "--root", "disk")
    assert said.code == 0
    assert "/disk/toys/copy-" in said.out and "/some.zip;" in said.out
    assert said.err.splitlines()[-1] == "toys: 5 of 16 images"


@pytest.mark.parametrize(
    ("content", "looks"), [(b"<!DOCTYPE html><html>Quota exceeded", "a web page"), (b"", "an empty file")]
)
def test_copy_of_another_kind_is_refused(facegan, workplace, content, looks):
    (workplace / "celeba.zip").write_bytes(content)
    said = facegan("download", "celeba", "--from", "celeba.zip")
    assert said.code == 2
    words = f"facegan: celeba.zip: not a zip, tar or parquet file (it begins like {looks}); download it again"
    assert said.complaint.startswith(words)
    assert facegan("download", "--list", "--json").json["celeba"]["path"] is None


def test_unsafe_copy_is_refused(facegan, workplace):
    with zipfile.ZipFile(workplace / "celeba.zip", "w") as file:
        file.writestr("../../evil.png", b"x")
    said = facegan("download", "celeba", "--from", "celeba.zip")
    assert said.code == 2
    assert said.complaint.startswith("facegan: celeba.zip: unsafe archive, nothing of it is used")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["celebb"], "celebb: no such dataset; did you mean 'celeba'?"),
        (["celeba", "--from", "gone.zip"], "gone.zip: no such file or folder; give the copy of celeba that you have"),
        ([], "download: what? there is: celeba, lfw, ffhq-thumbnails, inception"),
        (["drawn"], "drawn: there is nothing to download; run 'facegan train --data drawn'"),
        (["celeba", "--list"], "download: --list is given alone, or with --json"),
        (
            ["celeba", "--from", "a.zip", "--root", "b"],
            "download: --root says where fetched files go, and a copy of your own stays where it is",
        ),
        (
            ["celeba", "--from", "ftp://example.org/a.zip"],
            "ftp://example.org/a.zip: this kind of address is not supported; give http:// or https://, or a path",
        ),
    ],
)
def test_wrong_requests_are_refused_in_one_line(facegan, arguments, message):
    said = facegan("download", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"


def test_root_that_cannot_be_one_is_not_remembered(facegan, toys, workplace, cache):
    (workplace / "afile").touch()
    said = facegan("download", "toys", "--accept-licence", "--root", "afile")
    assert said.code == 2 and "afile" in said.err.splitlines()[-1]
    assert facegan("download", "toys").code == 0
    assert (cache / "datasets" / "toys" / "toys.zip").exists()


def test_empty_copy_is_refused_and_the_old_one_kept(facegan, archive, toys):
    facegan("download", "toys", "--from", archive("good.zip"))
    said = facegan("download", "toys", "--from", "")
    assert (said.code, said.complaint) == (
        2, "facegan: download: --from names nothing; give a file, a folder or an address",
    )  # fmt: skip
    assert facegan("download", "toys", "--list", "--json").code == 2
    assert facegan("download", "--list", "--json").json["toys"]["path"].endswith("good.zip")


def test_a_copy_without_readable_images_is_refused_and_the_old_one_kept(facegan, archive, toys, workplace):
    facegan("download", "toys", "--from", archive("good.zip"))
    (workplace / "bad").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (workplace / "bad" / name).write_text("<html>quota</html>")
    said = facegan("download", "toys", "--from", "bad")
    assert said.code == 2
    assert said.complaint == (
        "facegan: bad: none of the first 2 images can be used; b.jpg: not an image (it begins like a web page)"
    )
    assert facegan("download", "--list", "--json").json["toys"]["path"].endswith("good.zip")


def test_address_without_a_host_is_refused(facegan, toys):
    said = facegan("download", "toys", "--from", "http://")
    assert said.code == 2 and "this kind of address is not supported" in said.complaint


def test_address_that_has_nothing_leaves_nothing(facegan, toys, cache):
    toys.files["/page.zip"] = b"never sent"
    toys.script["/page.zip"] = [page("<html><title>Quota exceeded</title>")]
    for path, reason in (("/page.zip", "a web page ('Quota exceeded')"), ("/nowhere.zip", "404")):
        said = facegan("download", "toys", "--from", toys.url + path)
        assert said.code == 1 and reason in said.err
    assert [file.name for file in (cache / "datasets" / "toys").iterdir()] == [".lock"]
