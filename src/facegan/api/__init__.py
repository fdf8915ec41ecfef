"""The verbs of facegan as Python functions, from whose signatures the commands are built.

Each module is imported when one of its verbs is first used; torch, when a verb is called.
"""

import importlib
from typing import Any

_VERBS = {
    "animation": ("interpolate", "timelapse"),
    "data": ("check_data", "preview_data", "pack"),
    "downloads": ("download",),
    "evaluation": ("evaluate",),
    "importing": ("import_",),
    "inspection": ("project", "neighbours"),
    "latent_directions": ("directions", "edit"),
    "provenance": ("whois",),
    "reports": ("plot", "report"),
    "sampling": ("sample", "arithmetic"),
    "training": ("train", "resume"),
}
_HOMES = {verb: module for module, verbs in _VERBS.items() for verb in verbs}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'facegan.api' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
