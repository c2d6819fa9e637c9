"""What a watch says over HTTP: whether it lives, whether it is ready, and its figures. It only reads, and takes no input."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from carlake.errors import CarlakeError
from carlake.version import VERSION
from carlake.watch.figures import Figures

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

STUCK_SECONDS = 300.0
"""A loop that was not seen for so long is taken to be stuck; one step of a table may last a while."""

LOCAL = "127.0.0.1"


class HttpError(CarlakeError):
    """The address for HTTP is none, or cannot be had."""


def address(text: str) -> tuple[str, int]:
    """Host and port of `PORT`, `:PORT` or `HOST:PORT`; without a host, this machine alone. Raises HttpError."""
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise HttpError(f"{text!r} is no address for HTTP.", "Give 127.0.0.1:9464, or :0 for any free port.")
    return host.strip("[]") or LOCAL, int(port)


class Monitor:
    """Answers on one address for as long as it is open. Use it as a context manager.

    Raises HttpError where the address cannot be had.
    """

    def __init__(self, figures: Figures, host: str, port: int, stuck_seconds: float = STUCK_SECONDS) -> None:
        answer = type("_Answer", (_Answer,), {"figures": figures, "stuck": stuck_seconds, "registry": _all_of(figures)})
        kind = _Server6 if ":" in host else _Server
        try:
            self._server = kind((host, port), answer)
        except OSError as error:
            raise HttpError(
                f"HTTP on {host}:{port} cannot be had: {error.strerror or error}.",
                "Another program may have the port; --http :0 takes any that is free.",
            ) from None

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        name = str(host)
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def __enter__(self) -> Monitor:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="carlake-http", daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone: nobody needs to hear of it."""


class _Server6(_Server):
    import socket

    address_family = socket.AF_INET6


class _Answer(BaseHTTPRequestHandler):
    figures: Figures
    stuck: float
    registry: CollectorRegistry
    server_version = f"carlake/{VERSION}"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rstrip("/") or "/"
        if path == "/healthz":
            self._judged(*self.figures.alive(self.stuck))
        elif path == "/readyz":
            self._judged(*self.figures.readiness())
        elif path == "/metrics":
            from prometheus_client.exposition import choose_encoder

            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._send(HTTPStatus.OK, encode(self.registry), kind)
        elif path == "/":
            self._send(HTTPStatus.OK, b"carlake watch: /healthz /readyz /metrics\n", "text/plain; charset=utf-8")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"There are /healthz /readyz /metrics.\n", "text/plain; charset=utf-8")

    do_HEAD = do_GET  # noqa: N815  (as http.server names it)

    def _judged(self, good: bool, more: dict[str, object]) -> None:
        body = json.dumps({"ok": good, **more}, ensure_ascii=False).encode() + b"\n"
        self._send(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body, "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002  (the name that http.server has)
        """Nothing is written for a question that was answered."""


def _all_of(figures: Figures) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, ProcessCollector

    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)
    return registry
