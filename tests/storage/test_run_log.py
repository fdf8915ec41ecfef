import json

import pytest

from facegan.storage import run_log
from facegan.storage.run_log import (
    Span,
    caption,
    evenly,
    finite_number,
    health_spans,
    is_finite,
    last_line,
    last_record,
)
from runfolders import tick


def test_last_record_is_read_from_the_end_alone(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(100)))
    assert last_record(path) == ({"step": 99}, False)
    monkeypatch.setattr(run_log, "TAIL_BYTES", 16)  # less than two lines: the first is cut off and no line
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
def test_a_torn_end_is_skipped_and_reported(tmp_path, rest):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n' + rest)
    assert last_record(path) == ({"step": 2}, True)


@pytest.mark.parametrize("content", [None, b"", b"\n\n"])
def test_no_metrics_are_no_record(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert last_record(path) == (None, False)


def test_the_last_line_of_a_log_is_printable_whatever_it_holds(tmp_path):
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


def test_equal_health_is_joined_into_spans():
    healths = ["good", "good", "collapse", None, "collapse", "good"]
    ticks = [{"step": 10 * place} | ({"health": each} if each else {}) for place, each in enumerate(healths)]
    assert health_spans(ticks) == [
        Span(health="good", first=0, last=10, num_ticks=2),
        Span(health="collapse", first=20, last=40, num_ticks=2),
        Span(health="good", first=50, last=50, num_ticks=1),
    ]


def test_a_run_without_health_has_no_spans():
    assert health_spans([{"step": 1}, {"step": 2}]) == []


@pytest.mark.parametrize(
    ("most", "chosen"),
    [
        (1, [50]),
        (2, [0, 50]),
        (3, [0, 20, 50]),
        (4, [0, 20, 30, 50]),
        (6, list(range(0, 51, 10))),
        (99, list(range(0, 51, 10))),
    ],
)
def test_steps_are_chosen_evenly_and_never_without_the_last(most, chosen):
    assert evenly(range(0, 51, 10), most) == chosen


@pytest.mark.parametrize(
    ("records", "step", "text"),
    [
        ([tick(8)], 0, "step 0   epoch 0.00   0 kimg"),
        ([tick(8)], 4, "step 4   epoch 1.00   0.06 kimg"),
        ([tick(8), tick(16)], 20, "step 20   epoch 5.00   0.32 kimg"),
        ([tick(8)], 80_000, "step 80,000   epoch 20000.00   1,280 kimg"),
        ([], 4, "step 4"),
        ([tick(0)], 4, "step 4"),
        ([{"step": 8, "epoch": None, "kimg": float("nan")}], 4, "step 4"),
    ],
)
def test_a_caption_gives_the_step_and_the_known_progress(records, step, text):
    assert caption(records, step) == text
