"""Wording that messages share: values as they were given, the nearest names, counts, one line; paths as text."""

import difflib
import errno
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

MAX_NAMES = 40  # listed in a message
MAX_VALUE = 120  # characters of a value in a message
_URI = re.compile("file:/+")  # a Path of it has one slash


def printable(text: str) -> str:
    """Return the text with undecodable bytes escaped, and characters that control a terminal or the direction of text.

    Spaces of every width and the joiners, which are letters' own in many scripts, stay.
    """
    if text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else char.encode("unicode_escape").decode() for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs" or char in "\u200c\u200d"


def one_line(error: object, length: int | None = None) -> str:
    """Return an error's text without line breaks, cut at `length` characters; its class's name when it has no text."""
    return (" ".join(str(error).split()) or type(error).__name__)[:length]


def os_reason(error: OSError) -> str:
    """Return the system's reason for an error, with the limits that a name or path exceeds."""
    limits = " (most systems take 255 bytes a name, and 4,096 a path)" if error.errno == errno.ENAMETOOLONG else ""
    return f"{error.strerror or error}{limits}"


def quoted(value: object) -> str:
    """Return a given value as messages show it: unprintable characters escaped, long values cut."""
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 20]}...{text[-17:]}"


def nearest(name: str, known: Sequence[str], limit: int = 3) -> str:
    """Return `did you mean 'a' or 'b'?` for a mistyped name, else the list of known names."""
    close = difflib.get_close_matches(name[:MAX_VALUE], known, n=limit, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(each) for each in close)}?"
    if not known:
        return "there is none"
    more = f" and {len(known) - MAX_NAMES} more" if len(known) > MAX_NAMES + 1 else ""
    return f"there is: {', '.join(known[:MAX_NAMES] if more else known)}{more}"


def counted(num: int, noun: str) -> str:
    """Return a count with its noun: `1 file`, `2,000 files`."""
    return f"{num:,} {noun}{'' if num == 1 else 's'}"


def portable_path(path: str | Path) -> str:
    """Return a path as text: itself, or the file: URI of its absolute path if its bytes are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return Path(path).absolute().as_uri()
    return str(path)


def shell_path(path: str | Path) -> str:
    """Return a path as one word of a shell command that a terminal and a JSON document can hold."""
    return shlex.quote(portable_path(path))


def local_path(text: str | Path) -> str:
    """Return the path that `portable_path`, or a file manager, wrote as a file: URI; any other text is unchanged."""
    text = str(text)
    return os.fsdecode(unquote_to_bytes(_URI.sub("/", text, count=1))) if _URI.match(text) else text
