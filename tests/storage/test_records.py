import json

import pytest

from facegan.storage import run_log as records
from facegan.storage.run_log import Span, finite_number, health_spans, is_finite, last_line, last_record


def test_last_record_is_read_from_the_end_alone(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(100)))
    assert last_record(path) == ({"step": 99}, False)
    monkeypatch.setattr(records, "TAIL_BYTES", 16)  # less than two lines: the first is cut off and no line
    assert last_record(path) == ({"step": 99}, False)
    path.write_bytes(b"\xff" * 1000 + path.read_bytes())
    assert last_record(path) == ({"step": 99}, False)


@pytest.mark.parametrize(
    "rest",
    [
        '{"step": 3, "lo',
        "null\n",
        '{"step": -1}\n',
        '{"step": 1%s}\n' % ("0" * 400),
        '{"epoch": 1}\n',
        '{"step": true}\n',
        "\x00" * 50,
        "[" * 9999,
    ],
)
def test_torn_end_is_passed_over_and_told(tmp_path, rest):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n' + rest)
    assert last_record(path) == ({"step": 2}, True)


@pytest.mark.parametrize("content", [None, b"", b"\n\n"])
def test_no_metrics_are_no_record(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert last_record(path) == (None, False)


def test_last_line_of_a_log_is_text_whatever_stands_there(tmp_path):
    assert last_line(tmp_path / "log.txt") == ""
    (tmp_path / "log.txt").write_bytes(b"one\n  saved at\x1b step 4\xff \n\n")
    assert last_line(tmp_path / "log.txt") == "saved at? step 4�"
    (tmp_path / "log.txt").write_text("x" * 5000)
    assert last_line(tmp_path / "log.txt") == "x" * 300


def test_numbers_are_finite_or_none():
    assert finite_number({"a": 10**400}, "a") is None
    record = {"a": 1, "b": 0.5, "c": float("nan"), "d": "text", "e": None}
    assert [finite_number(record, key) for key in "abcdef"] == [1, 0.5, None, None, None, None]
    assert finite_number(None, "a") is None
    assert not is_finite(record)
    assert is_finite({"a": 1.5, "b": "text", "c": None})


def test_health_is_told_in_stretches():
    healths = ["good", "good", "collapse", None, "collapse", "good"]
    ticks = [{"step": 10 * place} | ({"health": each} if each else {}) for place, each in enumerate(healths)]
    assert health_spans(ticks) == [
        Span(health="good", first=0, last=10, num_ticks=2),
        Span(health="collapse", first=20, last=40, num_ticks=2),
        Span(health="good", first=50, last=50, num_ticks=1),
    ]


def test_run_that_tells_no_health_has_none():
    assert health_spans([{"step": 1}, {"step": 2}]) == []
