"""The verbs of facegan as Python functions, from whose signatures the commands are built.

Each module is imported when one of its verbs is first used; torch, when a verb is called.
"""

import importlib
from typing import Any

_HOMES = {
    "train": "training",
    "resume": "training",
    "sample": "sampling",
    "interpolate": "animation",
    "arithmetic": "sampling",
    "edit": "latent_directions",
    "timelapse": "animation",
    "directions": "latent_directions",
    "project": "inspection",
    "whois": "provenance",
    "evaluate": "evaluation",
    "neighbours": "inspection",
    "plot": "reports",
    "report": "reports",
    "download": "downloads",
    "check_data": "data",
    "preview_data": "data",
    "pack": "data",
    "import_": "importing",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'facegan.api' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
