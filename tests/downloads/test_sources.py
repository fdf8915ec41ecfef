import hashlib
import inspect
import json
import time
import tomllib
from pathlib import Path

import pytest
import requests
from packaging.requirements import Requirement

from facegan.downloads import DriveSource, File, HubSource, WebSource
from facegan.downloads.http import fetch
from facegan.downloads.sources import source_at
from facegan.errors import DownloadError
from facegan.reporter import SILENT
from webserver import FILE, HASTY, drop, page, redirect, status

QUOTA = (
    "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    '<p class="uc-error-caption">Sorry, you can\'t view or download this file at this time.</p>'
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>'
)
SIGN_IN = (
    '<html><head><title>Sign in</title></head><body><a href="https://accounts.google.com/x">Sign in</a></body></html>'
)


def confirm(server):
    """Drive's page for files that are too large for its virus scan."""
    return (
        "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
        f'<form id="download-form" action="{server.url}/download" method="get">'
        '<input type="hidden" name="id" value="X">'
        '<input type="hidden" name="confirm" value="t"></form></body></html>'
    )


@pytest.fixture
def drive(server, tmp_path):
    """drive() -> the path of a file that Google Drive has, fetched."""
    source = DriveSource(
        files=(File(name="faces.zip", at="X", checksum=f"md5:{hashlib.md5(FILE).hexdigest()}"),),
        opens="faces.zip",
        address=f"{server.url}/uc",
    )
    server.files["/download"] = FILE

    def make():
        (link,) = source.links()
        return fetch(link, tmp_path, patience=HASTY, reporter=SILENT)

    return make


def test_small_file_comes_at_once(drive, server):
    server.files["/uc"] = FILE
    assert drive().read_bytes() == FILE
    assert [path for _, path, _ in server.asked] == ["/uc?export=download&id=X"]


def test_page_that_asks_to_confirm_is_passed(drive, server):
    server.script["/uc"] = [page(confirm(server))]
    assert drive().read_bytes() == FILE
    assert server.asked[-1][1] == "/download?id=X&confirm=t"


def test_broken_download_is_continued_behind_the_page(drive, server):
    server.script["/uc"] = [page(confirm(server)), page(confirm(server))]
    server.script["/download"] = [drop(100_000)]
    assert drive().read_bytes() == FILE
    assert server.ranges()[-1] == "bytes=100000-"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (QUOTA, "quota exceeded; too many people fetched this file lately, and it may be available again in a day"),
        (SIGN_IN, "it asks to sign in; the file is not shared with everybody"),
        ("<html><title>Error\n 404 &amp; more</title></html>", "Error 404 & more"),
        ("<html></html>", "one without a title"),
    ],
)
def test_page_that_leads_nowhere_is_named_by_its_meaning(drive, server, tmp_path, text, meaning):
    server.script["/uc"] = [page(text)]
    with pytest.raises(DownloadError) as caught:
        drive()
    assert str(caught.value) == f"Google Drive answered with a web page: {meaning}"
    assert list(tmp_path.iterdir()) == []


def test_pages_without_end_are_given_up(drive, server):
    server.script["/uc"] = [page(confirm(server))]
    server.script["/download"] = [page(confirm(server))] * 5
    with pytest.raises(DownloadError, match="answered with one web page after another"):
        drive()
    assert len(server.asked) == 3


def test_an_older_page_leads_to_the_file_too(drive, server, monkeypatch):
    """Such a page names a path on Google's own host."""
    asked = []
    monkeypatch.setattr("requests.Session.get", only_first(asked, requests.Session.get))
    server.script["/uc"] = [page('<a href="/uc?export=download&amp;confirm=abc&amp;id=X">')]
    with pytest.raises(DownloadError, match=r"cannot be reached|no further page"):
        drive()
    assert asked[1] == "https://docs.google.com/uc?export=download&confirm=abc&id=X"


def only_first(asked, get):
    """A `get` that makes the first request only, and notes the addresses of all."""

    def noting(session, url, **options):
        asked.append(url)
        if len(asked) > 1:
            raise requests.RequestException("no further page")
        return get(session, url, **options)

    return noting


def test_the_function_of_gdown_that_reads_such_pages_is_where_it_was():
    """It is no documented part of gdown; pyproject.toml allows the versions that have it."""
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError
    from gdown.parse_url import is_google_drive_url, parse_url

    assert list(inspect.signature(get_url_from_gdrive_confirmation).parameters) == ["contents"]
    assert "url" in inspect.signature(parse_url).parameters
    assert "url" in inspect.signature(is_google_drive_url).parameters
    page = '<form id="download-form" action="https://a.org/b?c=1"><input type="hidden" name="d" value="2"></form>'
    assert get_url_from_gdrive_confirmation(page) == "https://a.org/b?c=1&d=2"
    with pytest.raises(FileURLRetrievalError):
        get_url_from_gdrive_confirmation("<html></html>")
    assert parse_url(url="https://drive.google.com/file/d/abc/view")[0] == "abc"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (requirement,) = [line for line in project["dependencies"] if line.startswith("gdown")]
    assert not Requirement(requirement).specifier.contains("7.0")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://drive.google.com/file/d/abc_DEF-123/view?usp=sharing", "toys-abc_DEF-123"),
        ("https://drive.google.com/uc?export=download&id=abc_DEF-123", "toys-abc_DEF-123"),
        ("https://example.org/a/faces.zip", "faces.zip"),
        ("https://example.org/faces.zip?download=1#top", "faces.zip"),
        ("https://example.org/my%20faces%2F..%2Fx.tar.gz", "x.tar.gz"),
        ("https://example.org/%2e%2e%5cevil.zip", "evil.zip"),
        ("https://example.org/.hidden.zip", "hidden.zip"),
        ("https://example.org/files/5976015", "toys-copy"),
        ("https://example.org", "toys-copy"),
    ],
)
def test_a_file_at_an_address_gets_a_safe_name(url, name):
    source = source_at(url, "toys")
    (link,) = source.links()
    assert (source.opens, link.name) == (name, name)
    on_drive = name == "toys-abc_DEF-123"
    assert link.url == ("https://drive.google.com/uc?export=download&id=abc_DEF-123" if on_drive else url)


def test_a_link_to_a_folder_is_refused():
    url = "https://drive.google.com/drive/folders/1tg-Ur7d4vk1T8Bn0pPpUSQPxlPGBlGfv"
    with pytest.raises(DownloadError) as caught:
        source_at(url, "toys")
    assert str(caught.value) == (
        f"{url}: not the share link of one file on Google Drive; open the file there and copy its link"
    )


def test_files_at_web_addresses_are_listed_without_a_request():
    file = File(name="a.zip", at="https://example.org/1", checksum="md5:" + "0" * 32, size_bytes=5, needed=False)
    (link,) = WebSource(host="example.org", files=(file,)).links()
    assert (link.name, link.url, link.checksum, link.size_bytes, link.needed) == (
        "a.zip", "https://example.org/1", "md5:" + "0" * 32, 5, False,
    )  # fmt: skip


# The Hugging Face hub

SHA = "0123456789abcdef0123456789abcdef01234567"
SHARDS = {"data/train-00000-of-00001.parquet": b"PAR1" + b"t" * 5000, "data/test-00000-of-00001.parquet": b"PAR1test"}


@pytest.fixture
def hub(server, monkeypatch):
    """A hub with the dataset o/n: two parquet files and a text; the source that reads it."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    contents = {**SHARDS, "README.md": b"# faces"}
    tree = []
    for path, content in contents.items():
        entry = {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
        if path.endswith(".parquet"):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        tree.append(entry)
        server.files[f"/datasets/o/n/resolve/{SHA}/{path}"] = content
    tree.append({"type": "directory", "path": "data", "oid": "0" * 40})
    server.files["/api/datasets/o/n"] = json.dumps({"id": "o/n", "sha": SHA}).encode()
    server.files[f"/api/datasets/o/n/tree/{SHA}"] = json.dumps(tree).encode()
    return HubSource(repo="o/n", endpoint=server.url, patience=HASTY)


def bring(source, folder):
    return [fetch(link, folder, patience=HASTY, reporter=SILENT) for link in source.links()]


def refusal(source):
    with pytest.raises(DownloadError) as caught:
        source.links()
    return str(caught.value)


def test_files_are_listed_with_size_and_checksum(hub):
    links = hub.links()
    assert [link.name for link in links] == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    content = SHARDS["data/train-00000-of-00001.parquet"]
    assert (links[1].size_bytes, links[1].checksum) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert SHA in links[1].url


def test_pattern_chooses_the_files(hub):
    only = hub.model_copy(update={"files": "data/test-*"})
    assert [link.name for link in only.links()] == ["test-00000-of-00001.parquet"]
    none = hub.model_copy(update={"files": "*.zip"})
    assert refusal(none) == "the repository holds no file like *.zip"


def relist(server, *paths):
    tree = [{"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in paths]
    server.files[f"/api/datasets/o/n/tree/{SHA}"] = json.dumps(tree).encode()


def test_two_files_of_one_name_are_refused(hub, server):
    relist(server, "a/faces.parquet", "b/faces.parquet")
    assert refusal(hub) == "the repository holds two files of one name like *.parquet"


def test_name_that_leaves_the_folder_is_refused(hub, server):
    relist(server, "..\\evil.parquet")
    assert refusal(hub) == "'..\\\\evil.parquet' cannot be the name of a file here"


def test_interrupted_file_is_continued_by_the_next_call_behind_a_redirect(hub, server, tmp_path):
    path = f"/datasets/o/n/resolve/{SHA}/data/train-00000-of-00001.parquet"
    server.files["/storage"] = server.files[path]
    server.script = {path: [redirect("/storage")] * 3, "/storage": [drop(1000), status(404)]}
    with pytest.raises(DownloadError):
        bring(hub, tmp_path)
    assert {path.read_bytes() for path in bring(hub, tmp_path)} == set(SHARDS.values())
    assert server.asked[-1][1] == "/storage"
    assert server.ranges()[-1] == "bytes=1000-"


def test_other_content_than_the_hub_states_is_refused(hub, server, tmp_path):
    server.files[f"/datasets/o/n/resolve/{SHA}/data/test-00000-of-00001.parquet"] = b"PAR1TEST"
    with pytest.raises(DownloadError, match="sent a file whose sha256 is"):
        bring(hub, tmp_path)


def test_token_of_the_environment_is_sent(hub, server, tmp_path, monkeypatch):
    bring(hub, tmp_path / "a")
    assert not any(headers.get("authorization", headers.get("Authorization")) for _, _, headers in server.asked)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    server.asked.clear()
    bring(hub, tmp_path / "b")
    sent = {headers.get("authorization", headers.get("Authorization")) for _, _, headers in server.asked}
    assert sent == {"Bearer hf_test"}


def test_endpoint_of_the_environment_is_asked(hub, server, monkeypatch):
    from huggingface_hub import constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)  # both are what HF_ENDPOINT sets
    url = HubSource(repo="o/n").links()[0].url
    assert url == f"{server.url}/datasets/o/n/resolve/{SHA}/data/test-00000-of-00001.parquet"


def test_offline_switch_is_respected(hub, server, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what HF_HUB_OFFLINE=1 sets
    assert refusal(hub).startswith("the hub cannot be asked (Cannot reach ") and "HF_HUB_OFFLINE" in refusal(hub)
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            status(403, X_Error_Code="GatedRepo"),
            "o/n is gated; accept its terms at https://huggingface.co/datasets/o/n and set HF_TOKEN",
        ),
        (status(401), "there is no o/n, or it is private and HF_TOKEN does not give access"),
        (
            status(404, X_Error_Code="RepoNotFound"),
            "there is no o/n, or it is private and HF_TOKEN does not give access",
        ),
    ],
)
def test_refusals_of_the_hub_are_explained(hub, server, monkeypatch, answer, message):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    server.script["/api/datasets/o/n"] = [answer] * 9
    assert refusal(hub) == message


def test_a_hub_that_cannot_be_reached_is_named(hub):
    gone = hub.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    assert refusal(gone).startswith("the hub cannot be asked (")


def test_shards_of_two_repositories_have_folders_of_their_own(hub):
    assert hub.folder == "o--n"
    assert hub.model_copy(update={"opens": "faces.zip"}).folder == ""
