"""Diagnose this machine: `facegan doctor`.

Nothing here imports torch or loads a plugin in this process: checks that may crash or hang run in a child (`trial`).
Third-party packages are imported where they are used, so that one broken package does not hide the other checks.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from . import checks, trial
from .checks import Check

__all__ = ["Check", "can_train", "diagnose", "problems", "to_json", "verdict"]


def diagnose(limit_seconds: float) -> list[Check]:
    """Check everything that training and sampling need; `limit_seconds` is for each start of the child."""
    tried = trial.run(limit_seconds)
    run_bytes = tried["facegan"].facts.get("run_bytes", 0) if "facegan" in tried else 0
    parts: dict[str, Callable[[], list[Check]]] = {
        "facegan": checks.check_machine,
        "packages": checks.check_packages,
        "torch": partial(checks.check_torch, tried),
        "disk": partial(checks.check_disk, run_bytes),
        "cache": checks.check_cache,
        "plugins": partial(checks.check_plugins, tried),
    }
    found: list[Check] = []
    for name, check in parts.items():
        try:
            found += check()
        except Exception as error:  # on a broken machine anything may fail; the other checks are reported all the same
            why = f"cannot be checked ({checks.describe_error(error)})"
            found.append(Check(name, why, "wrong", "fix what the error names"))
    return found


def can_train(found: Sequence[Check]) -> bool:
    """Return whether facegan can train and sample."""
    return all(check.status != "wrong" for check in found)


def problems(found: Sequence[Check]) -> list[Check]:
    """Return what is wrong, then the warnings."""
    return [check for status in ("wrong", "warning") for check in found if check.status == status]


def verdict(found: Sequence[Check]) -> str:
    """Summarise all checks in one line, with the first problem and its fix."""
    if not (bad := problems(found)):
        return "all is well: facegan can train and sample here"
    able = "facegan can train and sample here, but" if can_train(found) else "facegan cannot train and sample here"
    more = f" (and {len(bad) - 1} more, above)" if len(bad) > 1 else ""
    return f"{able}: {bad[0].name}: {bad[0].found}; {bad[0].fix}{more}"


def to_json(found: Sequence[Check]) -> dict[str, Any]:
    """Return the document of `facegan doctor --json`."""
    rows = [dataclasses.asdict(check) for check in found]
    return {
        "able": can_train(found),
        "verdict": verdict(found),
        "checks": [{"mend" if key == "fix" else key: value for key, value in row.items()} for row in rows],
    }
