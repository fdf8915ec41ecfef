import numpy as np
import pytest


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals here need not be smooth."""
    monkeypatch.setattr("facegan.neighbours.memorisation.RESAMPLES", 200)


@pytest.fixture
def noisy():
    """noisy(images) -> copies with a little noise, as a generator makes that memorises."""

    def make(images):
        noise = np.random.default_rng(99).integers(-8, 9, images.shape)
        return (images + noise).clip(0, 255).astype(np.uint8)

    return make
