import hashlib

import pytest

import facegan.downloads.inception_weights
from facegan.downloads.inception_weights import INCEPTION
from webserver import FILE, page

LICENCE = "inception: licence: Apache-2.0 (https://www.apache.org/licenses/LICENSE-2.0)"
DIGEST = hashlib.sha256(FILE).hexdigest()
FIRST = "/first/weights.pth"


@pytest.fixture(autouse=True)
def cache(own_cache):
    return own_cache


@pytest.fixture(autouse=True)
def mirror(server, monkeypatch):
    """A server that has a small file, which stands for the weights."""
    update = {"checksum": f"sha256:{DIGEST}", "size_bytes": len(FILE), "mirrors": {"first": server.url + FIRST}}
    monkeypatch.setattr(facegan.downloads.inception_weights, "INCEPTION", INCEPTION.model_copy(update=update))
    server.files[FIRST] = FILE
    return server


def test_weights_are_fetched_verified_and_used_next_time(facegan, cache, mirror):
    said = facegan("download", "inception")
    path = cache / "weights" / "pt_inception-2015-12-05-6726825d.pth"
    assert said.code == 0
    assert said.out == f"inception: {path}; now: facegan evaluate --metrics fid\n"
    first, second, last = said.err.splitlines()  # a quick transfer is not shown
    assert (first, second) == (LICENCE, "inception: fetching from first")
    assert last == "inception: the published weights, by their sha256"
    again = facegan("download", "inception", "--json")
    assert again.json == {"name": "inception", "path": str(path), "sha256": DIGEST}
    assert again.err.splitlines()[1] == "inception: already here, nothing is fetched"
    assert len(mirror.asked) == 1


def test_own_copy_needs_no_network(facegan, workplace, cache, mirror):
    (workplace / "mine.pth").write_bytes(FILE)
    said = facegan("download", "inception", "--from", "mine.pth")
    assert said.code == 0
    assert said.err.splitlines() == [LICENCE, "inception: the published weights, by their sha256"]
    assert (cache / "weights" / INCEPTION.file).read_bytes() == FILE
    assert mirror.asked == []


def test_copy_at_an_address_is_fetched(facegan, cache, mirror):
    mirror.files["/mine.bin"] = FILE
    assert facegan("download", "inception", "--from", mirror.url + "/mine.bin").code == 0
    assert [path for _, path, _ in mirror.asked] == ["/mine.bin"]


def test_copy_with_another_digest_is_refused(facegan, workplace, cache):
    (workplace / "mine.pth").write_bytes(b"other")
    said = facegan("download", "inception", "--from", "mine.pth")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1] == (
        "facegan: mine.pth: not the published weights of Inception, and not read (its sha256 is "
        f"{hashlib.sha256(b'other').hexdigest()}; published is {DIGEST}); run 'facegan download inception'"
    )
    assert not (cache / "weights").exists()


def test_failure_says_what_to_fetch_by_hand(facegan, mirror):
    mirror.script[FIRST] = [page("<html><title>Not today</title></html>")]
    said = facegan("download", "inception")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[-1] == (
        "facegan: inception: the weights could not be fetched (first: 127.0.0.1 answered with a web page ('Not today') "
        f"where the file should be); fetch {mirror.url}{FIRST} by hand, then run: "
        "facegan download inception --from pt_inception-2015-12-05-6726825d.pth"
    )


def test_list_names_the_weights_their_size_licence_and_place(facegan, cache):
    def line():
        return next(line for line in facegan("download", "--list").out.splitlines() if line.startswith("inception "))

    for words in ("Inception v3 of 2015", "262.1 kB", "Apache-2.0"):
        assert words in line()
    assert line().split()[-1] == "no"
    facegan("download", "inception")
    assert line().endswith(str(cache / "weights" / INCEPTION.file))
    listed = facegan("download", "--list", "--json").json["inception"]
    assert listed == {
        "title": "Inception v3 of 2015, the network of FID and KID",
        "size_bytes": len(FILE),
        "licence": "Apache-2.0",
        "licence_url": "https://www.apache.org/licenses/LICENSE-2.0",
        "sha256": DIGEST,
        "sources": ["first"],
        "path": str(cache / "weights" / INCEPTION.file),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["incepton"], "incepton: no such dataset; did you mean 'inception'?"),
        (
            ["inception", "--root", "disk"],
            "download: --root is for datasets; weights go to the cache (FACEGAN_CACHE says where)",
        ),
        (["inception", "--from", ""], "download: --from names nothing; give a file, a folder or an address"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(facegan, arguments, message):
    said = facegan("download", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"
