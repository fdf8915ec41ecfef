"""Origins of generators that no snapshot was written for."""

from pathlib import Path

from facegan.config import RunConfig
from facegan.generator import Origin


def origin(path="G.safetensors", **changes):
    given = {"digest": "d" * 64, "step": 3, "weights": "G", "raw": False, "config": RunConfig()}
    return Origin(path=Path(path), **given | changes)
