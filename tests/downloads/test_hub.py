import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

from facegan.downloads import HubSource
from facegan.downloads.http import fetch
from facegan.errors import DownloadError
from webserver import HASTY, drop, redirect, status

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
    return [
        fetch(link, folder, patience=HASTY, say=lambda _: None, progress=lambda *_: None) for link in source.links()
    ]


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


def test_files_arrive_as_they_are_on_the_hub(hub, tmp_path):
    assert {path.read_bytes() for path in bring(hub, tmp_path)} == set(SHARDS.values())


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
    assert refusal(hub) == "'..\\\\evil.parquet' is not a name that a file is given here"


def test_interrupted_file_is_continued_by_the_next_call(hub, server, tmp_path):
    path = f"/datasets/o/n/resolve/{SHA}/data/train-00000-of-00001.parquet"
    server.script[path] = [drop(1000), status(404)]
    with pytest.raises(DownloadError):
        bring(hub, tmp_path)
    bring(hub, tmp_path)
    assert server.asked[-1][1] == path
    assert server.ranges()[-1] == "bytes=1000-"


def test_redirect_to_a_storage_is_followed(hub, server, tmp_path):
    path = f"/datasets/o/n/resolve/{SHA}/data/test-00000-of-00001.parquet"
    server.script[path] = [redirect("/storage")]
    server.files["/storage"] = server.files[path]
    assert bring(hub, tmp_path)[0].read_bytes() == b"PAR1test"


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


def test_endpoint_of_the_environment_is_asked(hub, server):
    code = "from facegan.downloads import HubSource; print(HubSource(repo='o/n').links()[0].url)"
    environment = {**os.environ, "HF_ENDPOINT": server.url}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{server.url}/datasets/o/n/resolve/{SHA}/data/test-00000-of-00001.parquet\n"


def test_offline_switch_is_respected(hub, server, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what HF_HUB_OFFLINE=1 sets
    assert refusal(hub) == "HF_HUB_OFFLINE is set, and nothing is asked of the hub"
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            status(403, X_Error_Code="GatedRepo"),
            "o/n is gated; accept its terms at https://huggingface.co/datasets/o/n and set HF_TOKEN",
        ),
        (status(401), "there is no o/n, or it is private and HF_TOKEN does not open it"),
        (status(404, X_Error_Code="RepoNotFound"), "there is no o/n, or it is private and HF_TOKEN does not open it"),
        (status(500), "the hub answered 500 Internal Server Error"),
    ],
)
def test_refusals_of_the_hub_are_in_words(hub, server, monkeypatch, answer, message):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    server.script["/api/datasets/o/n"] = [answer] * 9
    assert refusal(hub) == message


def test_hub_that_is_not_there_is_in_words(hub):
    gone = hub.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    assert refusal(gone).startswith("the hub cannot be asked (")


def test_shards_of_two_repositories_have_folders_of_their_own(hub):
    assert hub.folder == "o--n"
    assert hub.model_copy(update={"opens": "faces.zip"}).folder == ""
