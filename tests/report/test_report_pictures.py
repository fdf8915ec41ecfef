import base64
import io

import numpy as np
import pytest
from PIL import Image

from facegan import images
from facegan.report import pictures


def test_at_most_so_many_grids_are_embedded_and_never_without_the_last(make):
    run = make(grids=range(0, 200, 2))
    found, damaged = pictures.embedded_grids(run, run.steps("samples"), None)
    assert (len(found), min(found), max(found), damaged) == (pictures.MOST_GRIDS, 0, 198, [])


def test_grids_that_would_be_too_large_together_are_thinned_out(make, monkeypatch):
    run = make(grids=range(20))
    alone = len(pictures.embedded(run.sample(0)))
    monkeypatch.setattr(pictures, "MOST_BYTES", 7 * alone)
    found, _ = pictures.embedded_grids(run, run.steps("samples"), None)
    assert 3 <= len(found) <= 8
    assert sum(map(len, found.values())) <= 7 * alone
    assert (min(found), max(found)) == (0, 19)


@pytest.mark.parametrize(("size", "embedded"), [((2200, 1100), (1100, 550)), ((40, 30), (40, 30))])
def test_large_grids_are_made_smaller(tmp_path, size, embedded):
    images.save(tmp_path / "a.png", np.zeros((size[1], size[0], 3), np.uint8))
    content = base64.b64decode(pictures.embedded(tmp_path / "a.png").partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == embedded
