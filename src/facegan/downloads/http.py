"""Fetch one file over HTTP: continue an interrupted one, retry where that may help, keep only a complete one."""

import hashlib
import html
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from ..errors import DownloadError
from ..messages import counted, one_line, printable
from ..reporter import Reporter
from ..storage.atomic import put_in_place, write_atomic

if TYPE_CHECKING:
    import requests

SAFE_NAME = re.compile(r"[^./\\:][^/\\:]*")
_CHUNK_BYTES = 2**18
_MAX_PAGE_BYTES = 2**20
_MAX_PAGES = 3  # web pages in a row before a file
PROXY = "the proxy of this machine (HTTPS_PROXY, HTTP_PROXY)"
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # status codes that may differ a moment later


class Patience(BaseModel):
    """How often and how long to try a server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(4, ge=1)  # in a row without a new byte before giving up
    delay_seconds: float = Field(1.0, ge=0)  # after the first of them; each later pause is twice as long
    longest_delay_seconds: float = Field(120.0, ge=0)  # a server that asks for a longer one is given up
    timeout_seconds: float = Field(30.0, gt=0)  # of a silent server
    slowest_bytes_per_second: float = Field(1000.0, ge=0)  # a slower connection counts as broken
    window_seconds: float = Field(60.0, gt=0)  # over which the speed is averaged


@dataclass(frozen=True)
class Link:
    """A file at an address.

    Raises:
        DownloadError: The name, which a server may have chosen, is hidden or contains a folder.
    """

    name: str  # on this machine
    url: str
    checksum: str = ""  # `md5:...` or `sha256:...`; empty: unknown
    size_bytes: int | None = None  # exactly; None: unknown
    needed: bool = True  # the dataset is useless without it
    headers: Mapping[str, str] = field(default_factory=dict)  # sent with the request
    past_page: Callable[[str], str] | None = None  # reads the file's address in a web page, or raises DownloadError

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

    of: str
    validator: str | None = None
    total: int | None = None


class _InterruptedError(Exception):
    """A try that ended early; another one may succeed."""

    def __init__(self, reason: str, *, wait_seconds: float = 0.0, is_slow: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds, self.is_slow = wait_seconds, is_slow


class _Transfer:
    """One file on its way: NAME.part has the bytes received, and NAME.part.json a note of their origin."""

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
            for is_last in (False, True):
                if not self._have or self._have != self._note.total:
                    self._try_often(session)
                fault, was_continued = self._fault(), self._was_continued
                if fault is None:
                    break
                self._start_over()
                if is_last or not was_continued:
                    raise DownloadError(fault)
                self._reporter.info(f"{self._link.name}: the continued file is damaged; once more from the start")
        put_in_place(self._part, self._path)
        self._note_path.unlink(missing_ok=True)

    def _try_often(self, session: "requests.Session") -> None:
        """Try until the file is complete, with growing pauses between the tries."""
        patience, fruitless = self._patience, 0
        while True:
            before = self._furthest
            try:
                return self._try(session)
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
        """Receive the file, behind any pages that the server sends first; turns the libraries' errors into ours."""
        import requests
        from urllib3.exceptions import HTTPError, TimeoutError

        url, host = self._link.url, self._link.host
        try:
            for _ in range(_MAX_PAGES):
                timeout = self._patience.timeout_seconds
                with session.get(url, headers=self._range(), stream=True, timeout=timeout) as response:
                    self._check_status(response)
                    page = self._receive(response)
                if page is None:
                    return
                if self._link.past_page is None:
                    title = f" ('{found}')" if (found := title_of(page)) else ""
                    raise DownloadError(f"{host} answered with a web page{title} where the file should be")
                url = self._link.past_page(page)
        except (requests.Timeout, TimeoutError):
            raise _InterruptedError(f"{host} does not answer in time") from None
        except requests.exceptions.ProxyError as error:
            reason = _reason(error)
            status = re.search(r"failed: (\d{3})\b", reason)
            if status and int(status[1]) not in _TRANSIENT:
                raise DownloadError(f"{PROXY} refused the connection to {host}: {reason}") from None
            raise _InterruptedError(f"{PROXY} failed, not {host}: {reason}") from None
        except (requests.RequestException, HTTPError) as error:
            may_pass = isinstance(error, requests.ConnectionError | HTTPError)
            is_final = not may_pass or isinstance(error, requests.exceptions.SSLError)
            raise (DownloadError if is_final else _InterruptedError)(f"{host}: {_reason(error)}") from None
        raise DownloadError(f"{host} answered with one web page after another")

    def _range(self) -> dict[str, str]:
        """Return the headers that ask for the rest; none where nothing would tell two versions of the file apart."""
        version = self._note.validator
        if not self._have or not (version or self._link.checksum):
            return {}
        return {"Range": f"bytes={self._have}-"} | ({"If-Range": version} if version else {})

    def _check_status(self, response: "requests.Response") -> None:
        from requests.utils import get_environ_proxies, select_proxy

        status = response.status_code
        if status in (200, 206):
            return
        url, host = response.url, self._link.host
        if status == 407:
            host = PROXY
        elif url.startswith("http:") and select_proxy(url, get_environ_proxies(url)):
            host = f"{PROXY}, or {host} behind it,"  # without encryption either may answer
        answer = f"{host} answered {status} {printable(response.reason or '')}".rstrip()
        if status == 416 and self._have:  # more is here than there
            self._start_over()
            raise _InterruptedError(f"{answer}: the file has changed")
        if status in _TRANSIENT:
            raise _InterruptedError(answer, wait_seconds=_wait_seconds(response))
        raise DownloadError(answer)

    def _receive(self, response: "requests.Response") -> str | None:
        """Append the response's bytes to the part; return the text of a web page that came in place of the file."""
        raw, link, patience = response.raw, self._link, self._patience
        total = raw.length_remaining
        is_rest = response.status_code == 206 and self._is_rest(response)
        chunk = raw.read1(_CHUNK_BYTES, decode_content=False)
        if not is_rest:
            if chunk.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):  # as no archive or list begins
                page: bytes = chunk + raw.read(_MAX_PAGE_BYTES)
                return page.decode("utf-8", "replace")
            self._begin(response, total)
        started, received = time.monotonic(), 0
        with self._part.open("ab", buffering=0) as file:
            while chunk:
                self._append(file, chunk)
                received += len(chunk)
                seconds = time.monotonic() - started
                if seconds >= patience.window_seconds:
                    if received < patience.slowest_bytes_per_second * seconds:
                        speed = f"{received / seconds:,.0f} bytes/s"
                        raise _InterruptedError(f"{link.host} sends only {speed}", is_slow=True)
                    started, received = time.monotonic(), 0
                chunk = raw.read1(_CHUNK_BYTES, decode_content=False)
        return None

    def _append(self, file: IO[bytes], chunk: bytes) -> None:
        link = self._link
        if link.size_bytes is not None and self._have + len(chunk) > link.size_bytes:
            raise DownloadError(f"{link.host} sent more than the {link.size_bytes:,} bytes that are published")
        try:
            written = 0
            while written < len(chunk):
                written += file.write(memoryview(chunk)[written:])
        except OSError as error:  # the system does not name the file that its disk has no room for
            raise OSError(error.errno, error.strerror, str(self._part)) from None
        self._have += len(chunk)
        self._furthest = max(self._furthest, self._have)
        self._reporter.progress(link.name, self._have, self._note.total or link.size_bytes, unit="bytes")

    def _begin(self, response: "requests.Response", total: int | None) -> None:
        """Prepare to receive the file from its first byte."""
        link, tag = self._link, response.headers.get("ETag", "W/")
        if self._have:
            self._reporter.info(f"{link.name}: {link.host} sends it from the start again")
        self._start_over()
        if total is not None and total != (link.size_bytes or total):
            raise DownloadError(f"{link.host} offers {total:,} bytes where {link.size_bytes:,} are published")
        # A weak tag does not promise equal bytes.
        validator = response.headers.get("Last-Modified") if tag.startswith("W/") else tag
        self._note = _Note(of=self._identity, validator=validator, total=total)
        write_atomic(self._note_path, self._note.model_dump_json().encode())

    def _is_rest(self, response: "requests.Response") -> bool:
        """Return whether a partial response continues a part; raises when it is another part of the file."""
        total, length = self._note.total, response.raw.length_remaining
        is_other_file = None not in (total, length) and self._have + length != total
        if is_other_file or not response.headers.get("Content-Range", "").startswith(f"bytes {self._have}-"):
            self._start_over()
            raise _InterruptedError(f"{self._link.host} sent another part than the requested one")
        self._was_continued = self._have > 0
        return self._was_continued

    def _fault(self) -> str | None:
        """Return the problem of the received file, or None."""
        link, size_bytes = self._link, self._part.stat().st_size
        if size_bytes != (expected := link.size_bytes or self._note.total or size_bytes):
            return f"{link.host} sent {size_bytes:,} bytes where {expected:,} are published"
        if link.checksum and (found := digest_of(self._part, link.checksum)) != link.checksum:
            kind, _, published = link.checksum.partition(":")
            return f"{link.host} sent a file whose {kind} is {found.partition(':')[2]}; published is {published}"
        return None

    def _start_over(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)
        self._note, self._have, self._was_continued = _Note(of=self._identity), 0, False


def title_of(page: str) -> str | None:
    """Return the title of a web page, on one line of at most 100 characters; None: it has none."""
    found = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return printable(" ".join(html.unescape(found[1]).split()))[:100] if found else None


def _wait_seconds(response: "requests.Response") -> float:
    """Return for how many seconds the server asks to wait; 0: it does not say."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        return Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except (ValueError, OverflowError, InvalidHeader):
        return 0.0


def _reason(error: Any) -> str:
    """Return the innermost reason of an error: urllib3 and requests wrap it in `reason`, or as the last argument."""
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    if isinstance(inner, Exception):
        return _reason(inner)
    text = str(getattr(error, "strerror", None) or error)
    system = re.search(r"\[Errno -?\d+\] ([^)\]]+)", text)
    return printable(one_line(system[1] if system else text))[:150]
