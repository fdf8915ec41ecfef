"""Fetch one file over HTTP: continue an interrupted one, retry where that may help, keep only a complete one."""

import hashlib
import html
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ..errors import DownloadError
from ..messages import counted, one_line, printable
from ..reporter import Reporter
from ..storage.atomic import put_in_place, write_atomic

if TYPE_CHECKING:
    import requests

SAFE_NAME = re.compile(r"[^./\\:][^/\\:]*")
_CHUNK_BYTES = 2**18
_PAGE_BYTES = 2**20  # read of a web page
_MAX_PAGES = 3  # web pages in a row before a file
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # status codes that may differ a moment later


class Patience(BaseModel):
    """How often and how long to try a server.

    Attributes:
        attempts: Tries in a row without a new byte before giving up.
        delay_seconds: The pause after the first of them; each later one is twice as long.
        longest_delay_seconds: The longest pause; a server that asks for a longer one is given up.
        timeout_seconds: How long to wait for a silent server.
        slowest_bytes_per_second: Drop a connection that is slower than this over `window_seconds`, as if it had sent
            nothing.
        window_seconds: The time over which the speed is averaged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(4, ge=1)
    delay_seconds: float = Field(1.0, ge=0)
    longest_delay_seconds: float = Field(120.0, ge=0)
    timeout_seconds: float = Field(30.0, gt=0)
    slowest_bytes_per_second: float = Field(1000.0, ge=0)
    window_seconds: float = Field(60.0, gt=0)


@dataclass(frozen=True)
class Link:
    """A file at an address.

    Attributes:
        name: Its name on this machine.
        url: An http or https address.
        checksum: `md5:...` or `sha256:...`; empty: unknown.
        size_bytes: Its exact size; None: unknown.
        needed: Whether the dataset is useless without it.
        headers: Sent with the request.
        past_page: Returns the file's address from a web page sent in its place, or raises DownloadError.

    Raises:
        DownloadError: The name, which a server may have chosen, is hidden or lies in another folder.
    """

    name: str
    url: str
    checksum: str = ""
    size_bytes: int | None = None
    needed: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    past_page: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        if not SAFE_NAME.fullmatch(self.name) or not self.name.isprintable():
            raise DownloadError(f"{self.name!r} cannot be the name of a file here")

    @property
    def host(self) -> str:
        """The server's name."""
        return urllib.parse.urlsplit(self.url).hostname or self.url

    def matches(self, path: Path) -> bool:
        """Return whether there is a file with this checksum and size, as far as they are known."""
        if not path.is_file() or (self.size_bytes is not None and path.stat().st_size != self.size_bytes):
            return False
        return not self.checksum or digest_of(path, self.checksum) == self.checksum


def digest_of(path: Path, like: str) -> str:
    """Return the checksum of a file, of the same kind as another one: `md5:...` or `sha256:...`."""
    kind = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"


def fetch(link: Link, folder: Path, *, patience: Patience, reporter: Reporter) -> Path:
    """Fetch a file into a folder; it gets its name only when it is complete and has its checksum.

    The bytes received so far are kept as NAME.part, and the next call continues from there. Two calls must not fetch
    one name into one folder at the same time.

    Raises:
        DownloadError: The server does not have it, sends something else, or failed too often.
    """
    path = folder / link.name
    if not link.matches(path):
        folder.mkdir(parents=True, exist_ok=True)
        _Transfer(link, path, patience, reporter).run()
    return path


class _Note(BaseModel):
    """NAME.part.json: the file that a part belongs to, its version on the server, and its size."""

    model_config = ConfigDict(strict=True)

    of: str
    validator: Annotated[str, Field(pattern="^[ -~]*$")] | None = None
    total: Annotated[int, Field(ge=0)] | None = None


class _InterruptedError(Exception):
    """A try that ended early; another one may succeed."""

    def __init__(self, reason: str, *, wait_seconds: float = 0.0, is_slow: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds, self.is_slow = wait_seconds, is_slow


class _Transfer:
    """One file on its way: the bytes received lie in NAME.part, and a note of their origin in NAME.part.json."""

    def __init__(self, link: Link, path: Path, patience: Patience, reporter: Reporter) -> None:
        self._link, self._path, self._patience, self._reporter = link, path, patience, reporter
        self._part = path.with_name(path.name + ".part")
        self._note_path = path.with_name(path.name + ".part.json")
        self._identity = link.checksum or link.url  # with a checksum, mirrors can continue each other's parts
        try:
            self._note = _Note.model_validate_json(self._note_path.read_bytes())
        except (OSError, ValueError):  # missing, damaged, or of another version
            self._note = _Note(of="")
        if self._note.of != self._identity:
            self._start_over()
        self._furthest = self._have = self._part.stat().st_size if self._part.exists() else 0
        self._was_continued = self._have > 0

    def run(self) -> None:
        import requests

        with requests.Session() as session:
            session.headers.update({"Accept-Encoding": "identity", **self._link.headers})
            if not (self._part.exists() and self._have == self._note.total):
                self._try_often(session)
            fault = self._fault()
            if fault and self._was_continued:
                self._reporter.info(f"{self._link.name}: the continued file is damaged; once more from the start")
                self._start_over()
                self._try_often(session)
                fault = self._fault()
        if fault:
            self._start_over()
            raise DownloadError(fault)
        put_in_place(self._part, self._path)
        self._note_path.unlink(missing_ok=True)

    def _try_often(self, session: "requests.Session") -> None:
        """Try until the file is complete, with growing pauses between the tries."""
        patience, fruitless = self._patience, 0
        while True:
            before = self._furthest
            try:
                self._try(session)
                return
            except _InterruptedError as error:
                fruitless = 0 if self._furthest > before and not error.is_slow else fruitless + 1
                if fruitless >= patience.attempts:
                    raise DownloadError(f"{error}; given up after {counted(fruitless, 'attempt')}") from None
                if error.wait_seconds > patience.longest_delay_seconds:
                    raise DownloadError(f"{error}, and asks to wait {error.wait_seconds:,.0f} s") from None
                delay = max(patience.delay_seconds * 2.0 ** max(fruitless - 1, 0), error.wait_seconds)
                delay = min(delay, patience.longest_delay_seconds)
                self._reporter.info(f"{self._link.name}: {error}; trying again in {delay:.0f} s")
                time.sleep(delay)

    def _try(self, session: "requests.Session") -> None:
        import requests
        import urllib3

        host = self._link.host
        try:
            with self._request(session) as response:
                self._receive(response)
        except requests.exceptions.SSLError as error:
            raise DownloadError(f"{host}: its certificate cannot be trusted ({_reason(error)})") from None
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            raise _InterruptedError(f"{host} does not answer in time") from None
        except requests.ConnectionError as error:
            raise _InterruptedError(f"{host} cannot be reached ({_reason(error)})") from None
        except urllib3.exceptions.HTTPError as error:
            raise _InterruptedError(f"{host} broke off ({_reason(error)})") from None
        except requests.TooManyRedirects:
            raise DownloadError(f"{host} redirects in a circle") from None
        except requests.RequestException as error:
            raise DownloadError(f"{host}: {_reason(error)}") from None

    def _request(self, session: "requests.Session") -> "requests.Response":
        """Return the response that carries the file, behind any pages that the server sends first."""
        url, version = self._link.url, self._note.validator
        headers: dict[str, str] = {}
        if self._have and (version or self._link.checksum):  # else nothing would tell two versions apart
            headers = {"Range": f"bytes={self._have}-"} | ({"If-Range": version} if version else {})
        for _ in range(_MAX_PAGES):
            response = session.get(url, headers=headers, stream=True, timeout=self._patience.timeout_seconds)
            self._check_status(response)
            if not _is_page(response):
                return response
            with response:
                page = response.raw.read(_PAGE_BYTES, decode_content=True).decode("utf-8", "replace")
            if self._link.past_page is None:
                raise self._page_instead(page)
            url = self._link.past_page(page)
        raise DownloadError(f"{self._link.host} answered with one web page after another")

    def _check_status(self, response: "requests.Response") -> None:
        status = response.status_code
        if status in (200, 206):
            return
        answer = f"{self._link.host} answered {status} {printable(response.reason or '')}".rstrip()
        response.close()
        if status == 416 and self._have:  # more is here than there
            self._start_over()
            raise _InterruptedError(f"{answer}: the file has changed")
        if status in _TRANSIENT:
            raise _InterruptedError(answer, wait_seconds=_wait_seconds(response))
        raise DownloadError(answer)

    def _receive(self, response: "requests.Response") -> None:
        """Append the response's bytes to the part."""
        link = self._link
        if not (response.status_code == 206 and self._is_rest(response)):
            self._begin(response)
        total = self._note.total
        with self._part.open("ab", buffering=0) as file:
            for chunk in self._chunks(response):
                if not self._have and _begins_like_page(chunk):
                    raise self._page_instead(chunk.decode("utf-8", "replace"))
                if total is not None and self._have + len(chunk) > total:
                    raise DownloadError(f"{link.host} sent more than the {total:,} bytes that it announced")
                try:
                    written = 0
                    while written < len(chunk):
                        written += file.write(memoryview(chunk)[written:])
                except OSError as error:  # the system does not name the file that its disk has no room for
                    raise OSError(error.errno, error.strerror, str(self._part)) from None
                self._have += len(chunk)
                self._furthest = max(self._furthest, self._have)
                self._reporter.progress(link.name, self._have, total or link.size_bytes, unit="bytes")
        if total is not None and self._have < total:
            raise _InterruptedError(f"{link.host} broke off after {self._have:,} of {total:,} bytes")

    def _begin(self, response: "requests.Response") -> None:
        """Prepare to receive the file from its first byte."""
        link, length = self._link, response.headers.get("Content-Length", "")
        if self._have:
            self._reporter.info(f"{link.name}: {link.host} sends it from the start again")
        self._start_over()
        tag = response.headers.get("ETag")  # a weak one does not promise equal bytes
        validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
        total = int(length) if length.isdecimal() else None
        self._note = _Note.model_construct(of=self._identity, validator=validator, total=total)
        if total is not None and total != (link.size_bytes or total):
            raise DownloadError(f"{link.host} offers {total:,} bytes where {link.size_bytes:,} are published")
        write_atomic(self._note_path, json.dumps(self._note.model_dump()).encode())

    def _is_rest(self, response: "requests.Response") -> bool:
        """Return whether a partial response continues the part; raises when it is another part of the file."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = self._note.total
        if found and int(found[1]) == self._have and (total is None or found[3] in ("*", str(total))):
            if total is None and found[3] != "*":
                self._note.total = int(found[3])
            self._was_continued = True
            return True
        self._start_over()
        raise _InterruptedError(f"{self._link.host} sent another part than the requested one")

    def _chunks(self, response: "requests.Response") -> Iterator[bytes]:
        """Yield the bytes as they come; raises when they come too slowly ever to end."""
        patience, started, received = self._patience, time.monotonic(), 0
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            yield chunk
            received += len(chunk)
            seconds = time.monotonic() - started
            if seconds >= patience.window_seconds:
                if received < patience.slowest_bytes_per_second * seconds:
                    raise _InterruptedError(
                        f"{self._link.host} sends only {received / seconds:,.0f} bytes/s", is_slow=True
                    )
                started, received = time.monotonic(), 0

    def _fault(self) -> str | None:
        """Return what is wrong with the received file, or None."""
        link, size_bytes = self._link, self._part.stat().st_size
        if link.size_bytes is not None and size_bytes != link.size_bytes:
            return f"{link.host} sent {size_bytes:,} bytes where {link.size_bytes:,} are published"
        if link.checksum and (found := digest_of(self._part, link.checksum)) != link.checksum:
            kind, _, published = link.checksum.partition(":")
            return f"{link.host} sent a file whose {kind} is {found.partition(':')[2]}; published is {published}"
        return None

    def _page_instead(self, page: str) -> DownloadError:
        title = title_of(page)
        words = f" ('{title}')" if title else ""
        return DownloadError(f"{self._link.host} answered with a web page{words} where the file should be")

    def _start_over(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)
        self._note, self._have, self._was_continued = _Note(of=self._identity), 0, False


def title_of(page: str) -> str | None:
    """Return the title of a web page, on one line of at most 100 characters; None: it has none."""
    found = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return printable(" ".join(html.unescape(found[1]).split()))[:100] if found else None


def _is_page(response: "requests.Response") -> bool:
    """Return whether a response says that it is a web page to be shown."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    disposition = response.headers.get("Content-Disposition", "")
    return kind in ("text/html", "application/xhtml+xml") and "attachment" not in disposition


def _begins_like_page(content: bytes) -> bool:
    """Return whether bytes begin like a web page, whatever the response says."""
    return re.match(rb"\s*(<!doctype html|<html)", content.removeprefix(b"\xef\xbb\xbf")[:200].lower()) is not None


def _wait_seconds(response: "requests.Response") -> float:
    """Return for how many seconds the server asks to wait; 0: it does not say."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        return Retry().parse_retry_after(response.headers["Retry-After"])
    except (KeyError, ValueError, OverflowError, InvalidHeader):  # none, or a nonsensical one
        return 0.0


def _reason(error: Any) -> str:
    """Return the innermost reason of an error: urllib3 and requests wrap it in `reason`, or as the last argument."""
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    if isinstance(inner, Exception):
        return _reason(inner)
    text = str(getattr(error, "strerror", None) or error)
    system = re.search(r"\[Errno -?\d+\] ([^)\]]+)", text)
    return printable(one_line(system[1] if system else text))[:150]
