"""One file over HTTP: continued where it stopped, tried again when that may help, and here whole or not at all."""

import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ..errors import DownloadError
from ..storage.atomic import put_in_place, write_atomic
from .answers import begins_like_page, brief, failure, is_page, plain, retry_after, title_of, validator
from .links import Link, Patience, Progress, Say, digest_of, matches

if TYPE_CHECKING:
    import requests

_CHUNK_BYTES = 2**18
_PAGE_BYTES = 2**20  # a web page is read no further
_PAGES = 3  # web pages in a row before a file
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be another a moment later


def fetch(link: Link, folder: Path, *, patience: Patience, say: Say, progress: Progress) -> Path:
    """Bring a file into a folder, under its name only when it is complete and has its checksum.

    What has arrived of it waits as NAME.part, and the next call goes on from there. No two calls may fetch one name
    into one folder at once.

    Raises:
        DownloadError: The server does not have it, sends something else, or has been tried often enough.
    """
    path = folder / link.name
    if matches(path, link.checksum, link.size_bytes):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    return _Transfer(link, path, patience, say, progress).run()


class _Note(BaseModel):
    """What is noted of a file on its way."""

    model_config = ConfigDict(strict=True)

    of: str
    validator: Annotated[str, Field(pattern="^[ -~]*$")] | None
    total: Annotated[int, Field(ge=0)] | None


class _InterruptedError(Exception):
    """A try that ended early, and may end better when it is made again."""

    def __init__(self, reason: str, *, wait_seconds: float | None = None, slow: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds, self.slow = wait_seconds, slow


class _Transfer:
    """One file on its way: what has arrived lies in NAME.part, and what it belongs to in NAME.part.json."""

    def __init__(self, link: Link, path: Path, patience: Patience, say: Say, progress: Progress) -> None:
        self._link, self._path, self._patience, self._say, self._progress = link, path, patience, say, progress
        self._host = urllib.parse.urlsplit(link.url).hostname or link.url
        self._part = path.with_name(path.name + ".part")
        self._note = path.with_name(path.name + ".part.json")
        self._known = self._recalled()  # of: which file; validator: which version of it; total: its size in bytes
        self._have = self._part.stat().st_size if self._part.exists() else 0
        self._continued = self._have > 0
        self._furthest = self._have

    def run(self) -> Path:
        import requests

        with requests.Session() as session:
            session.headers.update({"Accept-Encoding": "identity", **self._link.headers})
            if not self._is_complete():
                self._arrive(session)
            if self._continued and self._fault():
                self._say(f"{self._link.name}: what was continued is damaged; once more from the start")
                self._start_over()
                self._arrive(session)
        if fault := self._fault():
            self._start_over()
            raise DownloadError(fault)
        put_in_place(self._part, self._path)
        self._note.unlink(missing_ok=True)
        return self._path

    def _arrive(self, session: "requests.Session") -> None:
        """Try until all has arrived, with growing pauses between tries."""
        fruitless = 0
        while True:
            before = self._furthest
            try:
                self._try(session)
                return
            except _InterruptedError as error:
                fruitless = 0 if self._furthest > before and not error.slow else fruitless + 1
                if fruitless >= self._patience.attempts:
                    tries = "1 attempt" if fruitless == 1 else f"{fruitless} attempts"
                    raise DownloadError(f"{error}; given up after {tries}") from None
                delay = self._patience.delay_seconds * 2.0 ** max(fruitless - 1, 0)
                longest = self._patience.longest_delay_seconds
                if error.wait_seconds is not None and error.wait_seconds > longest:
                    raise DownloadError(f"{error}, and asks to wait {error.wait_seconds:,.0f} s") from None
                delay = min(max(delay, error.wait_seconds or 0), longest)
                self._say(f"{self._link.name}: {error}; trying again in {delay:.0f} s")
                time.sleep(delay)

    def _try(self, session: "requests.Session") -> None:
        import requests
        import urllib3

        try:
            response = self._answer(session)
            with response:
                self._take(response)
        except requests.exceptions.SSLError as error:
            raise DownloadError(f"{self._host}: its certificate cannot be trusted ({brief(error)})") from None
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _InterruptedError(f"{self._host} {failure(error)}") from None
        except requests.TooManyRedirects:
            raise DownloadError(f"{self._host} redirects in a circle") from None
        except requests.RequestException as error:
            raise DownloadError(f"{self._host}: {brief(error)}") from None

    def _answer(self, session: "requests.Session") -> "requests.Response":
        """The answer that carries the file, behind whatever pages a server puts before it."""
        url = self._link.url
        for _ in range(_PAGES):
            response = session.get(url, headers=self._range(), stream=True, timeout=self._patience.timeout_seconds)
            self._refuse(response)
            if not is_page(response):
                return response
            with response:
                page = response.raw.read(_PAGE_BYTES, decode_content=True).decode("utf-8", "replace")
            if self._link.past_page is None:
                raise DownloadError(self._page_instead(page))
            url = self._link.past_page(page)
        raise DownloadError(f"{self._host} answered with one web page after another")

    def _range(self) -> dict[str, str]:
        """The headers that ask for the rest; for the whole file when it has changed since."""
        version = self._known.get("validator")
        if not self._have or not (version or self._link.checksum):  # nothing would tell two files apart
            return {}
        return {"Range": f"bytes={self._have}-"} | ({"If-Range": version} if version else {})

    def _refuse(self, response: "requests.Response") -> None:
        """Raise for an answer that carries nothing."""
        status = response.status_code
        if status in (200, 206):
            return
        answer = f"{self._host} answered {status} {plain(response.reason or '')}".rstrip()
        response.close()
        if status == 416 and self._have:  # what is here reaches beyond what is there
            self._start_over()
            raise _InterruptedError(f"{answer}: the file is another by now")
        if status in _PASSING:
            raise _InterruptedError(answer, wait_seconds=retry_after(response))
        raise DownloadError(answer)

    def _take(self, response: "requests.Response") -> None:
        """Write down what the answer carries."""
        rest = response.status_code == 206 and self._check_rest(response)
        if not rest:
            self._begin(response)
        total = self._known.get("total")
        with self._part.open("ab", buffering=0) as file:
            for chunk in self._chunks(response):
                if not self._have and begins_like_page(chunk):
                    raise DownloadError(self._page_instead(chunk.decode("utf-8", "replace")))
                if total is not None and self._have + len(chunk) > total:
                    raise DownloadError(f"{self._host} sent more than the {total:,} bytes that it announced")
                self._write(file, chunk)
                self._have += len(chunk)
                self._furthest = max(self._furthest, self._have)
                self._progress(self._link.name, self._have, total or self._link.size_bytes)
        if total is not None and self._have < total:
            raise _InterruptedError(f"{self._host} broke off after {self._have:,} of {total:,} bytes")

    def _write(self, file: FileIO, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:  # the system does not say which file its disk has no room for
            raise OSError(error.errno, error.strerror, str(self._part)) from None

    def _begin(self, response: "requests.Response") -> None:
        """Start at the first byte."""
        if self._have:
            self._say(f"{self._link.name}: {self._host} sends it from the start again")
        self._start_over()
        length = response.headers.get("Content-Length", "")
        self._known = {
            "of": self._identity,
            "validator": validator(response),
            "total": int(length) if length.isdecimal() else None,
        }
        expected, total = self._link.size_bytes, self._known["total"]
        if expected is not None and total is not None and total != expected:
            raise DownloadError(f"{self._host} offers {total:,} bytes where {expected:,} are published")
        write_atomic(self._note, json.dumps(self._known).encode())

    def _check_rest(self, response: "requests.Response") -> bool:
        """Whether a partial answer is the rest of what is here; raises when it is not."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = self._known.get("total")
        if found and int(found[1]) == self._have and (total is None or found[3] in ("*", str(total))):
            if total is None and found[3] != "*":
                self._known["total"] = int(found[3])
            self._continued = True
            return True
        self._start_over()
        raise _InterruptedError(f"{self._host} sent another part than the one that it was asked for")

    def _chunks(self, response: "requests.Response") -> Iterator[bytes]:
        """The bytes as they come; raises when they come too slowly to ever end."""
        began, taken = time.monotonic(), 0
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            yield chunk
            taken += len(chunk)
            seconds = time.monotonic() - began
            if seconds >= self._patience.window_seconds:
                if taken < self._patience.slowest_bytes_per_second * seconds:
                    raise _InterruptedError(f"{self._host} sends only {taken / seconds:,.0f} bytes/s", slow=True)
                began, taken = time.monotonic(), 0

    def _fault(self) -> str | None:
        """What is wrong with the file that has arrived, or None."""
        size, expected = self._part.stat().st_size, self._link.size_bytes
        if expected is not None and size != expected:
            return f"{self._host} sent {size:,} bytes where {expected:,} are published"
        if self._link.checksum and (found := digest_of(self._part, self._link.checksum)) != self._link.checksum:
            kind, _, published = self._link.checksum.partition(":")
            return f"{self._host} sent a file whose {kind} is {found.partition(':')[2]}; published is {published}"
        return None

    def _page_instead(self, page: str) -> str:
        title = title_of(page)
        words = f" ('{title}')" if title else ""
        return f"{self._host} answered with a web page{words} where the file should be"

    def _is_complete(self) -> bool:
        return self._part.exists() and self._have == self._known.get("total")

    def _start_over(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self._known, self._have, self._continued = {}, 0, False

    @property
    def _identity(self) -> str:
        """Which file this is, whatever address it came from, when its checksum is known."""
        return self._link.checksum or self._link.url

    def _recalled(self) -> dict[str, Any]:
        """What the note says, if the part beside it is the beginning of this file; otherwise the part is removed."""
        try:
            note = _Note.model_validate_json(self._note.read_bytes())
            if note.of == self._identity:
                return note.model_dump(include={"validator", "total"})
        except (OSError, ValueError):  # damaged, or of another version
            pass
        self._part.unlink(missing_ok=True)
        return {}
