import pytest

from facegan.config import DataConfig
from facegan.data.image_set import from_source


@pytest.fixture
def drawn():
    """drawn(100, 1) -> a set of that many drawn faces of a seed."""

    def make(num, seed):
        return from_source(DataConfig(options={"num_images": num, "seed": seed}), resolution=16, channels=3)

    return make
