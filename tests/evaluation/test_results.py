import json
import math

import pytest

from facegan.errors import FaceganError
from facegan.evaluation import Result, append, read


def result(**more):
    about = {"metric": "swd", "title": "Sliced", "better": "lower", "subject": "a", "value": 1.5,
             "interval": (1.0, 2.0), "num_real": 3, "num_fake": 2, "floor": None, "protocol": {},
             "digests": {"snapshot": "s"}, "details": {}, "seconds": 0.5, "time": "t", "facegan": "0"}  # fmt: skip
    return Result(**{**about, **more})


def test_what_is_appended_is_read_again_after_what_was_there(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    append(path, [result()])
    append(path, [result(value=2.5), result(details={"odd": math.nan})])
    assert [each.value for each in read(path)] == [1.5, 2.5, 1.5]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert (lines[0]["snapshot"], lines[0]["num_images"]) == ("s", 2)
    assert lines[2]["details"] == {"odd": None}


def test_line_that_a_crash_left_half_written_costs_no_other(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    append(path, [result()])
    with path.open("a") as file:
        file.write('{"metric": "sw')
    append(path, [result(value=2.5)])
    assert [each.value for each in read(path)] == [1.5, 2.5]


def test_value_that_is_not_finite_is_no_result(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    append(path, [result()])
    before = path.read_bytes()
    with pytest.raises(FaceganError, match=r"^swd of a: is not finite; nothing was written$"):
        append(path, [result(), result(value=math.inf)])
    assert path.read_bytes() == before


def test_full_disk_leaves_the_lines_before(tmp_path, monkeypatch):
    path = tmp_path / "evaluations.jsonl"
    append(path, [result()])
    before = path.read_bytes()
    monkeypatch.setattr("facegan.evaluation.results.json.dumps", lambda line: "x" * 10**6)
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            append(path, [result()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
