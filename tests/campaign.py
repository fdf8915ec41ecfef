"""Tests with a short version in `make test` and a long one in `make campaign`, whose size the environment may set."""

import os

import numpy as np
import pytest


def short_and_long(short, variable, long, short_marks=()):
    """Two parameters: a number, and a larger one that an environment variable replaces."""
    size = int(os.environ.get(variable, long))
    return [
        pytest.param(short, id="short", marks=short_marks),
        pytest.param(size, id="long", marks=pytest.mark.campaign),
    ]


NUM_SIMULATIONS = pytest.mark.parametrize("num_simulations", short_and_long(100, "CAMPAIGN_SIMULATIONS", 2000))


def assert_95_percent_coverage(simulated, *, max_width=1.5):
    """At least 92 % of the simulated intervals contain the expected value, within three standard errors.

    Wide intervals would as well: on average these are at most `max_width` times as wide as the scatter of the values
    requires.
    """
    values = np.array([each.value for each in simulated])
    low, high = np.array([each.interval for each in simulated]).T
    error = (0.95 * 0.05 / len(values)) ** 0.5
    assert ((low <= values.mean()) & (values.mean() <= high)).mean() > 0.92 - 3 * error
    assert (high - low).mean() < max_width * 2 * 1.96 * values.std()
