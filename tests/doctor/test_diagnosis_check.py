from pathlib import Path

import pytest

from facegan.doctor.check import Check, amiss, can_train, in_one_line, install, shortened, verdict

GOOD = Check("cpu", "computes")
ODD = Check("torchvision", "does not fit", status="warning", mend="run: this")
BAD = Check("torch", "is missing", status="wrong", mend="run: that")


@pytest.mark.parametrize(
    ("checks", "able", "line"),
    [
        ([GOOD], True, "all is well: facegan can train and sample here"),
        ([GOOD, ODD], True, "facegan can train and sample here, but: torchvision: does not fit; run: this"),
        ([GOOD, BAD], False, "facegan cannot train and sample here: torch: is missing; run: that"),
        ([ODD, BAD], False, "facegan cannot train and sample here: torch: is missing; run: that (and 1 more, above)"),
    ],
)
def test_verdict_names_what_is_wrong_first_with_what_mends_it(checks, able, line):
    assert verdict(checks) == line
    assert can_train(checks) is able


def test_what_is_wrong_comes_before_warnings():
    assert amiss([GOOD, ODD, BAD]) == [BAD, ODD]


def test_text_is_one_line_of_bounded_length_without_the_home_folder():
    assert shortened(f"in {Path.home()}/x:\n  gone") == "in ~/x: gone"
    assert shortened("x" * 50, 10) == "xxxxxxx..."
    assert in_one_line(OSError("two\nlines")) == "OSError: two lines"
    assert in_one_line(RuntimeError()) == "RuntimeError"


def test_command_can_be_pasted_into_a_shell():
    assert install("numpy>=2.0", "torch") == "python -m pip install --upgrade --force-reinstall 'numpy>=2.0' torch"
