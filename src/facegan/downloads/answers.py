"""What a server's answers and failures mean."""

import email.utils
import html
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests


def validator(response: "requests.Response") -> str | None:
    """What tells one version of a file from the next; a weak ETag does not promise equal bytes."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def is_page(response: "requests.Response") -> bool:
    """Whether an answer says of itself that it is a web page to be shown."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") and "attachment" not in response.headers.get(
        "Content-Disposition", ""
    )


def begins_like_page(content: bytes) -> bool:
    """Whether bytes begin like a web page, whatever the answer says of itself."""
    return re.match(rb"\s*(<!doctype html|<html)", content.removeprefix(b"\xef\xbb\xbf")[:200].lower()) is not None


def retry_after(response: "requests.Response") -> float | None:
    """How many seconds the server asks to wait, or None."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def failure(error: Exception) -> str:
    """What a connection died of, in a few words."""
    import requests
    import urllib3

    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return f"cannot be reached ({brief(error)})"
    return f"broke off ({brief(error)})"


def brief(error: Exception) -> str:
    """The innermost reason of an error that wraps others."""
    reason: Any = error
    while True:  # urllib3 and requests keep the error that they wrap in `reason`, or as the last argument
        args = getattr(reason, "args", ())
        inner = getattr(reason, "reason", None) or (args[-1] if args else None)
        if not isinstance(inner, Exception):
            break
        reason = inner
    text = str(getattr(reason, "strerror", None) or reason)
    system = re.search(r"\[Errno -?\d+\] ([^)\]]+)", text)
    return plain(system[1] if system else text)[:150]


def title_of(page: str) -> str | None:
    """The title of a web page, on one line and not too long, or None."""
    found = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return plain(html.unescape(found[1]))[:100] if found else None


def plain(text: str) -> str:
    """A server's words on one line, without what would command a terminal."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())
