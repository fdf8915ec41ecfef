import math

import pytest
import torch

from facegan.schedules import cosine, warm_up


def shown(kimg):
    return torch.tensor(round(1000 * kimg))


@pytest.mark.parametrize(("kimg", "share"), [(0, 1.0), (25, 0.5 + 2**-1.5), (50, 0.5), (100, 0.0), (5000, 0.0)])
def test_cosine_goes_from_its_start_to_its_end_and_stays_there(kimg, share):
    value = cosine(3.0, 1.0, shown(kimg), 100)
    assert value.shape == ()
    assert value.item() == pytest.approx(1 + 2 * share, rel=1e-6)


def test_a_value_that_does_not_change_stays_a_number():
    assert cosine(2e-4, 2e-4, shown(3), 100) == 2e-4
    assert isinstance(cosine(2e-4, 2e-4, shown(3), 100), float)
    assert warm_up(2e-4, shown(3), 0) == 2e-4


def test_a_schedule_without_a_length_never_begins():
    assert cosine(1.0, 0.1, shown(1e6), math.inf).item() == 1


def test_warm_up_rises_in_a_straight_line_and_keeps_what_a_schedule_does():
    assert [warm_up(4.0, shown(kimg), 100).item() for kimg in (1, 50, 100, 200)] == pytest.approx([0.04, 2, 4, 4])
    falling = cosine(4.0, 1.0, shown(50), 100)
    assert warm_up(falling, shown(50), 100).item() == pytest.approx(1.25)
