"""An HTTP server in front of another one, which fails as servers and networks do: seeded, by method and path.

Each request is one of: passed on; delayed; refused with a status, before it has any effect; cut off before, in or after
it is passed on. Signed requests stay good: the Host header is passed on as it came.
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["delay", "status", "refused", "lost", "cut_headers", "cut_body"]


@dataclass(frozen=True)
class Request:
    """One request as it came. `operation` names those of S3 (`GetObject`, `CopyObject`), and is the method of others."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]

    @property
    def operation(self) -> str:
        key = self.path.strip("/").partition("/")[2]
        if not key:
            if "versions" in self.query:
                return "ListObjectVersions"
            if self.method == "POST" and "delete" in self.query:
                return "DeleteObjects"
            if self.method == "GET" and ("list-type" in self.query or "prefix" in self.query):
                return "ListObjectsV2"
            return self.method
        if self.method == "PUT":
            part = "partNumber" in self.query
            if "x-amz-copy-source" in self.headers:
                return "UploadPartCopy" if part else "CopyObject"
            return "UploadPart" if part else "PutObject"
        if self.method == "POST":
            return "CreateMultipartUpload" if "uploads" in self.query else "CompleteMultipartUpload"
        if self.method == "DELETE" and "uploadId" in self.query:
            return "AbortMultipartUpload"
        return {"GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(self.method, self.method)


@dataclass(frozen=True)
class Fault:
    """What goes wrong, with which requests, and how often.

    kind        `delay` (then all is well); `status` (refused with `status`, no effect); `refused` (the connection is
                closed, no effect); and after the effect: `lost` (no answer), `cut_headers`, `cut_body` (half of them)
    share       of the requests that match
    operations  names of operations or methods (see `Request.operation`); none: all
    path        a regular expression that is searched in the path (decoded)
    times       at most so often
    seconds     how long a delay lasts; of a status: its Retry-After, where it is not 0
    status      of `status`: 503 says SlowDown, 500 InternalError
    """

    kind: Kind
    share: float = 1.0
    operations: tuple[str, ...] = ()
    path: str = ""
    times: int | None = None
    seconds: float = 0.0
    status: int = 503

    def concerns(self, request: Request) -> bool:
        """Whether the request is one of those that this may befall."""
        named = not self.operations or request.operation in self.operations or request.method in self.operations
        return named and re.search(self.path, request.path) is not None


def usual(share: float, *, seconds: float = 0.0) -> tuple[Fault, ...]:
    """What a bad store does, each kind its part of `share` of all requests."""
    part = share / 6
    return (
        Fault("status", part, status=503, seconds=seconds),
        Fault("status", part, status=500),
        Fault("refused", part),
        Fault("lost", part),
        Fault("cut_headers", part),
        Fault("cut_body", part),
    )


Answered = tuple[dict[str, str], bytes]
"""Headers and content of an answer that is well."""


class Proxy(ThreadingHTTPServer):
    """The server. `faults` may be set at any time; `seen` and `befell` tell what came and what was done to it.

    before   called with each request before anything is done: a test may wait in it, or change the store
    instead  called with each request and its body; what it gives is the answer, where it gives one
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, faults: tuple[Fault, ...] = (), seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        url = urlsplit(upstream)
        self.upstream = (url.hostname or "127.0.0.1", url.port or 80)
        self.faults = faults
        self.seed = seed
        self.before: Callable[[Request], None] | None = None
        self.instead: Callable[[Request, bytes], Answered | None] | None = None
        self.seen: list[Request] = []
        self.befell: Counter[tuple[str, str]] = Counter()
        self._met: Counter[tuple[str, str]] = Counter()
        self._done: Counter[Fault] = Counter()
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """The address to use instead of the other server's."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def operations(self) -> Counter[str]:
        """How many requests came, by operation."""
        return Counter(request.operation for request in list(self.seen))

    def decide(self, request: Request) -> Fault | None:
        """What befalls a request. The nth of the same method and path meets the same fate whatever comes between."""
        with self._lock:
            self.seen.append(request)
            place = (request.method, request.path)
            self._met[place] += 1
            for at, fault in enumerate(self.faults):
                if fault.times is not None and self._done[fault] >= fault.times:
                    continue
                chance = random.Random(f"{self.seed} {at} {place} {self._met[place]}").random()
                if chance < fault.share and fault.concerns(request):
                    self._done[fault] += 1
                    self.befell[fault.kind, request.operation] += 1
                    return fault
        return None

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


@contextmanager
def failing(upstream: str, *faults: Fault, seed: int = 0) -> Iterator[Proxy]:
    """A running proxy in front of `upstream` (http://HOST:PORT), on a free port of 127.0.0.1."""
    with Proxy(upstream, faults, seed) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection", "expect"}
_NAMES = {503: "SlowDown", 500: "InternalError", 403: "AccessDenied", 429: "TooManyRequests"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _serve(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(url.path), parse_qs(url.query, keep_blank_values=True), headers)
        if self.server.before is not None:
            self.server.before(request)
        fault = self.server.decide(request)
        body = self._body(headers)
        if fault is not None:
            if fault.kind == "delay":
                time.sleep(fault.seconds)
            elif fault.kind == "refused":
                self._cut()
                return
            elif fault.kind == "status":
                self._refuse(fault)
                return
        if self.server.instead is not None and (own := self.server.instead(request, body)) is not None:
            self._answer(*own)
            return
        try:
            status, reason, answer_headers, answer = self._passed_on(headers, body)
        except (OSError, http.client.HTTPException):
            self._cut()
            return
        if fault is not None and fault.kind == "lost":
            self._cut()
            return
        head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in answer_headers) + "\r\n"
        raw = head.encode("latin-1")
        if fault is not None and fault.kind == "cut_headers":
            self.wfile.write(raw[: len(raw) // 2])
            self._cut()
        elif fault is not None and fault.kind == "cut_body":
            self.wfile.write(raw + answer[: len(answer) // 2])
            self._cut()
        else:
            self.wfile.write(raw + answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = _serve  # noqa: N815

    def _body(self, headers: dict[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return b"".join(parts)
        return self.rfile.read(int(headers.get("content-length") or 0))

    def _passed_on(self, headers: dict[str, str], body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP and name.lower() != "content-length":
                    connection.putheader(name, value)
            if body or "content-length" in headers or self.command in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
            kept = [
                (name, value)
                for name, value in answer.getheaders()
                if name.lower() not in _HOP_BY_HOP and (name.lower() != "content-length" or self.command == "HEAD")
            ]
            if self.command != "HEAD" and answer.status not in (204, 304):
                kept.append(("Content-Length", str(len(content))))
            return answer.status, answer.reason, kept, content
        finally:
            connection.close()

    def _answer(self, headers: dict[str, str], content: bytes) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, fault: Fault) -> None:
        name = _NAMES.get(fault.status, "InternalError")
        text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{name}</Code><Message>{name}</Message></Error>'
        self.send_response(fault.status)
        if fault.seconds:
            self.send_header("Retry-After", f"{fault.seconds:g}")
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def _cut(self) -> None:
        """Close the connection for good, whatever the client had sent."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
