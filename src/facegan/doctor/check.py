"""One thing looked at, and the one line that sums up all of them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        found: What it is like, in words.
        status: `wrong` keeps facegan from training or sampling, `warning` does not.
        mend: What to do about it, a command where there is one; empty where all is well.
        facts: The same in numbers, for a program.
    """

    name: str
    found: str
    status: Status = "ok"
    mend: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def verdict(checks: Sequence[Check]) -> str:
    """All in one line: that all is well, or what to mend first."""
    found = amiss(checks)
    if not found:
        return "all is well: facegan can train and sample here"
    able = "facegan can train and sample here, but" if can_train(checks) else "facegan cannot train and sample here"
    first = found[0]
    more = f" (and {len(found) - 1} more, above)" if len(found) > 1 else ""
    return f"{able}: {first.name}: {first.found}; {first.mend}{more}"


def amiss(checks: Sequence[Check]) -> list[Check]:
    """What is wrong, then what is warned of."""
    return [each for status in ("wrong", "warning") for each in checks if each.status == status]


def can_train(checks: Sequence[Check]) -> bool:
    """Whether nothing keeps facegan from training and sampling."""
    return all(check.status != "wrong" for check in checks)


def install(*requirements: str) -> str:
    """The command that installs packages over whatever there is of them."""
    return f"python -m pip install --upgrade --force-reinstall {shlex.join(requirements)}"


def in_one_line(error: BaseException) -> str:
    """An error's kind and text, without the name of a person's home."""
    return shortened(f"{type(error).__name__}: {error}")


def shortened(text: str, length: int = 300) -> str:
    """A text on one line, cut at so many characters, with `~` for the home folder."""
    text = " ".join(text.split()).removesuffix(":")
    home = str(Path.home())
    text = text.replace(home, "~") if len(home) > 1 else text
    return text if len(text) <= length else f"{text[: length - 3]}..."
