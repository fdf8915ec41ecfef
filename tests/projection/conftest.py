import pytest

from facegan.config import DataConfig
from facegan.data.packed.load import load


@pytest.fixture
def drawn():
    """drawn(100, 1) -> so many packed drawn faces of a seed."""

    def make(num, seed):
        return load(DataConfig(options={"num_images": num, "seed": seed}), resolution=16, channels=3)

    return make
