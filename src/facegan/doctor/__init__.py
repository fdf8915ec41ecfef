"""Diagnose this machine: `facegan doctor`.

All checks are made in a child process, since any may crash or hang where something is broken. This process imports
neither torch nor a plugin.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .checks import Check, Facts, all_checks, describe_error, failure, shorten

__all__ = ["Check", "can_train", "diagnose", "problems", "to_json", "verdict"]

# The child finds the packages of this process, in the same order.
START = (
    "import json, sys; facts, sys.path = map(json.loads, sys.argv[1:]); from facegan.doctor import child; child(facts)"
)


def diagnose(limit_seconds: float) -> list[Check]:
    """Check everything that training and sampling need.

    After a check that ends or hangs the child, another child makes the rest; `limit_seconds` is for each of them.
    """
    found: dict[str, Check] = {}
    while True:
        name, facts = "python", {name: check.facts for name, check in found.items()}
        command = [sys.executable, "-c", START, json.dumps(facts), json.dumps([*map(str, sys.path)])]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_seconds)
            out, why = done.stdout, _describe_exit(done.returncode, done.stderr)
        except subprocess.TimeoutExpired as error:
            out, why = error.stdout or b"", f"did not return within {limit_seconds:g} seconds"
        for line in map(json.loads, out.splitlines()):
            if line is None:  # the end; a crash at exit does not matter
                return [check for check in found.values() if check.found]
            if isinstance(line, str):
                name = line
            else:
                found[name] = Check(**line)
        found[name] = failure(name, why, {name: check.facts for name, check in found.items()})
        if name == "python":  # no child can be started
            return [*found.values()]


def _describe_exit(code: int, stderr: bytes) -> str:
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return shorten(f"{ended}: {last}")


def child(facts: Facts) -> None:
    """Make every check that has no facts yet; write two lines of JSON for each, its name and its result, then null."""
    with os.fdopen(os.dup(1), "w", buffering=1) as parent:
        os.dup2(2, 1)  # the output of foreign code goes to stderr
        for name, make in all_checks(facts):
            if name in facts:
                continue
            parent.write(json.dumps(name) + "\n")
            try:
                check = make(name, facts)
            except (Exception, SystemExit) as error:
                check = failure(name, describe_error(error), facts)
            parent.write(json.dumps(asdict(check)) + "\n")
            facts[name] = check.facts
        parent.write("null\n")


def can_train(found: Sequence[Check]) -> bool:
    """Return whether facegan can train and sample."""
    return all(check.status != "wrong" for check in found)


def problems(found: Sequence[Check]) -> list[Check]:
    """Return the checks that went wrong, then the warnings."""
    return sorted((check for check in found if check.status != "ok"), key=lambda check: check.status != "wrong")


def verdict(found: Sequence[Check]) -> str:
    """Summarise all checks in one line, with the first problem and its fix."""
    if not (bad := problems(found)):
        return "all is well: facegan can train and sample here"
    able = "facegan can train and sample here, but" if can_train(found) else "facegan cannot train and sample here"
    more = f" (and {len(bad) - 1} more, above)" if len(bad) > 1 else ""
    return f"{able}: {bad[0].name}: {bad[0].found}; {bad[0].fix}{more}"


def to_json(found: Sequence[Check]) -> dict[str, Any]:
    """Return the document of `facegan doctor --json`."""
    rows = [{"mend": check.fix} | asdict(check) for check in found]
    for row in rows:
        del row["fix"]
    return {"able": can_train(found), "verdict": verdict(found), "checks": rows}
