import pytest

from facegan.storage.run_log import caption, evenly
from runfolders import tick


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
def test_a_caption_says_what_is_known(records, step, text):
    assert caption(records, step) == text
