import os
import shutil

import numpy as np
import pytest
from PIL import Image

from facegan.config import DataConfig
from facegan.data.packed import pack as packing
from facegan.data.packed.load import pack_folder
from facegan.data.packed.packed_images import open_packed

SIZE = {"resolution": 16, "channels": 3}
PEOPLE = [f"person{i:03d}" for i in range(20, 40)]


@pytest.fixture
def decoded(monkeypatch):
    """The number of decoded images so far, as the length of this list."""
    calls = []
    original = packing.to_square
    monkeypatch.setattr(packing, "to_square", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    return calls


@pytest.fixture(scope="session")
def packed_template(tmp_path_factory):
    root = tmp_path_factory.mktemp("packed")
    for number, name in enumerate(f"{name}/{j}.png" for name in PEOPLE for j in range(2)):
        (root / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "faces" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "FACEGAN_CACHE", str(root / "cache"))
        pack_folder(DataConfig(source=str(root / "faces"), crop="center:20"), root / "template", **SIZE)
    return root / "template"


@pytest.fixture
def packed_folder(packed_template, tmp_path):
    """A packed folder to spoil, and the images it holds."""
    return shutil.copytree(packed_template, tmp_path / "kept"), open_packed(packed_template)
