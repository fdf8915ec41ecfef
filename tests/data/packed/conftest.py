import shutil

import pytest

from facegan.config import DataConfig
from facegan.data.packed import pack as packing
from facegan.data.packed.load import load

SIZE = {"resolution": 16, "channels": 3}
PEOPLE = [f"person{i:03d}" for i in range(20, 40)]


@pytest.fixture
def decoded(monkeypatch):
    """The number of decoded images so far, as the length of this list."""
    calls = []
    original = packing.to_square
    monkeypatch.setattr(packing, "to_square", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    return calls


@pytest.fixture
def packed_folder(folder, tmp_path):
    root = folder(*(f"{name}/{j}.png" for name in PEOPLE for j in range(2)))
    packed = load(DataConfig(source=str(root), crop="center:20"), **SIZE)
    return shutil.copytree(packed.path, tmp_path / "kept"), packed
