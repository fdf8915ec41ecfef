"""What facegan finds on a machine, and what is wrong there: `facegan doctor`.

Nothing here imports torch, or loads a plugin, in this process: what may crash or hang is tried in a child (`trial`).
Records are plain dataclasses, and what needs another package is imported where it is used: the rest is told even
where that package is broken.
"""

from collections.abc import Callable

from . import machine, places, trial
from .check import Check, amiss, can_train, in_one_line, verdict

__all__ = ["Check", "amiss", "can_train", "diagnose", "verdict"]


def diagnose(limit_seconds: float) -> list[Check]:
    """Look at everything that training and sampling need, in the order in which a person reads it.

    Args:
        limit_seconds: For each start of the process that imports torch and the plugins.
    """
    found = trial.run(limit_seconds)
    return [
        *_look("facegan", machine.look),
        *_look("packages", machine.look_at_packages),
        *_look("torch", lambda: trial.look_at_torch(found)),
        *_look("devices", lambda: trial.look_at_devices(found)),
        *_look("disk", lambda: places.look_at_disk(found.needed_bytes)),
        *_look("cache", places.look_at_cache),
        *_look("plugins", lambda: trial.look_at_plugins(found)),
    ]


def _look(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except Exception as error:  # on a broken machine anything may fail, and the rest is to be told all the same
        found = f"cannot be looked at ({in_one_line(error)})"
        return [Check(name, found, status="wrong", mend="mend what the error names")]
