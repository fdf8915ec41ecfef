"""A local web server that misbehaves on request."""

import contextlib
import hashlib
import re
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from facegan.downloads import Patience

FILE = bytes(range(256)) * 1024  # 256 KiB
HASTY = Patience(delay_seconds=0, timeout_seconds=5)


# Ways to answer a request for a file. The default is `ranged`: all that a good server does.


def ranged(request, content, *, kind="application/octet-stream", tag=True):
    """The complete file, or from the requested byte on if the file is still the requested one."""
    etag = f'"{hashlib.md5(content).hexdigest()}"'
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if request.headers.get("If-Range") not in (None, etag):
        found = None
    first = int(found[1]) if found else 0
    if found and first >= len(content):
        return status(416)(request, content)
    request.send_response(206 if found else 200)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(content) - first))
    if tag:
        request.send_header("ETag", etag)
    if found:
        request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    request.end_headers()
    request.wfile.write(content[first:])
    return None


untagged = partial(ranged, tag=False)


def rangeless(request, content):
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def drop(at, answer=ranged):
    """As another answer, but the connection breaks after so many bytes of the body."""

    def way(request, content):
        out = request.wfile
        sent = 0

        class Cut:
            def write(self, data):
                nonlocal sent
                head = sent is None
                out.write(data if head else data[: max(at - sent, 0)])
                sent += len(data)

        flush = request.end_headers

        def end_headers():
            flush()
            request.wfile = Cut()

        request.end_headers = end_headers
        answer(request, content)
        request.wfile = out
        request.close_connection = True

    return way


def status(code, **headers):
    def way(request, content):
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return way


def page(text, kind="text/html; charset=utf-8"):
    def way(request, content):
        ranged(request, text.encode(), kind=kind)

    return way


def redirect(to):
    return status(302, Location=to)


def wrong_length(claimed):
    def way(request, content):
        request.send_response(200)
        request.send_header("Content-Length", str(claimed))
        request.end_headers()
        request.wfile.write(content)
        request.close_connection = True

    return way


def lengthless(cut=None):
    """The end of the connection is the end of the file."""

    def way(request, content):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(content[:cut])
        request.close_connection = True

    return way


def chunked(cut=None):
    """In chunks; the last one is cut short when `cut` says where."""

    def way(request, content):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n" % len(content) + content[:cut])
        if cut is None:
            request.wfile.write(b"\r\n0\r\n\r\n")
        request.close_connection = True

    return way


def one_byte(request, content):
    """One byte, and silence until nobody listens."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[:1])
    request.wfile.flush()
    request.rfile.read(1)
    request.close_connection = True


def other_part(request, content):
    """A partial answer that does not begin where it was asked to."""
    request.send_response(206)
    request.send_header("Content-Length", "10")
    request.send_header("Content-Range", f"bytes 0-9/{len(content)}")
    request.end_headers()
    request.wfile.write(content[:10])


@dataclass
class Server:
    """A local server: contents by path, and for each path the ways of its next answers, then `ranged`."""

    url: str
    files: dict = field(default_factory=dict)
    script: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)  # (method, path, headers)

    def ranges(self):
        return [headers.get("Range") for _, _, headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server.facegan
        path = self.path
        server.asked.append((self.command, path, dict(self.headers)))
        bare = path.partition("?")[0]
        ways = server.script.get(path) or server.script.get(bare) or []
        way = ways.pop(0) if ways else ranged
        content = server.files.get(path, server.files.get(bare))
        if content is None and way is ranged:
            way = status(404)
        try:
            way(self, content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_CONNECT = do_GET  # as a proxy

    def handle(self):
        with contextlib.suppress(ConnectionError):  # whoever asked has gone
            super().handle()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def web_server():
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


@pytest.fixture
def server(web_server, monkeypatch):
    """A server with one file at /file.bin."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    web_server.facegan = Server(f"http://127.0.0.1:{web_server.server_port}", {"/file.bin": FILE})
    return web_server.facegan
