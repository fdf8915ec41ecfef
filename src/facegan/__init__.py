"""facegan: train a generator of faces, evaluate it honestly and use it.

The names below load what they need (torch among it) when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.training import train
    from .checkpoint import load_generator
    from .evaluation.evaluate import evaluate
    from .sampling import sample

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "load_generator", "sample", "train"]

_HOMES = {
    "evaluate": "evaluation.evaluate",
    "load_generator": "snapshots",
    "sample": "sampling",
    "train": "api.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'facegan' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
