"""A bucket server that speaks as much of the S3 protocol as listing, reading and archiving need."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

MODIFIED = ("2026-01-02T03:04:05.000Z", "Fri, 02 Jan 2026 03:04:05 GMT")


_QUOTES = {"&quot;": '"', "&apos;": "'"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _target(self) -> tuple[str, str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        bucket, _, key = url.path.lstrip("/").partition("/")
        return bucket, unquote(key), parse_qs(url.query)

    def _answer(self, code: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fail(self, code: int, name: str) -> None:
        self._answer(code, f"<Error><Code>{name}</Code><Message>{name}</Message></Error>".encode())

    def _refused(self, bucket: str, key: str) -> bool:
        if bucket not in self.server.buckets:
            self._fail(404, "NoSuchBucket")
        elif any(key.startswith(prefix) for prefix in self.server.forbidden):
            self._fail(403, "AccessDenied")
        else:
            return False
        return True

    def do_GET(self) -> None:
        bucket, key, query = self._target()
        if self._refused(bucket, key or query.get("prefix", [""])[0]):
            return
        objects = self.server.buckets[bucket]
        if not key:
            self._answer(200, self._listed(objects, query).encode(), {"Content-Type": "application/xml"})
            return
        content = objects.get(key)
        if content is None:
            self._fail(404, "NoSuchKey")
            return
        if (wanted := self.headers.get("If-Match")) and wanted != _etag(content):
            self._fail(412, "PreconditionFailed")
            return
        headers = {"ETag": _etag(content), "Last-Modified": MODIFIED[1]}
        if given := self.headers.get("Range"):
            first, _, last = given.removeprefix("bytes=").partition("-")
            part = content[int(first) : int(last) + 1]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
            self._answer(206, part, headers)
        elif self.command == "HEAD":
            self._answer(200, b"", {**headers, "Content-Length": str(len(content))})
        else:
            self._answer(200, content, headers)

    def _listed(self, objects: dict[str, bytes], query: dict[str, list[str]]) -> str:
        """One page of ListObjectsV2: keys and, with a delimiter, common prefixes, in order and after a place."""
        prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        names = []
        for name in sorted(objects):
            if name.startswith(prefix) and name > after:
                head, cut, _ = name.removeprefix(prefix).partition(delimiter) if delimiter else (name, "", "")
                shown = f"{prefix}{head}{cut}" if cut else name
                if shown not in names and shown > after:
                    names.append(shown)
        page = names[: self.server.page]
        entries = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            if delimiter and name not in objects
            else f"<Contents><Key>{escape(name)}</Key><LastModified>{MODIFIED[0]}</LastModified>"
            f"<ETag>{_etag(objects[name])}</ETag><Size>{len(objects[name])}</Size></Contents>"
            for name in page
        )
        more = len(names) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        bucket, key, _ = self._target()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._refused(bucket, key):
            return
        objects = self.server.buckets[bucket]
        if source := self.headers.get("x-amz-copy-source"):
            from_bucket, _, from_key = unquote(source).lstrip("/").partition("/")
            if from_key not in self.server.buckets[from_bucket]:
                self._fail(404, "NoSuchKey")
                return
            objects[key] = self.server.buckets[from_bucket][from_key]
            answer = f"<CopyObjectResult><ETag>{_etag(objects[key])}</ETag></CopyObjectResult>"
            self._answer(200, answer.encode(), {"Content-Type": "application/xml"})
            return
        if self.headers.get("If-None-Match") == "*" and key in objects:
            self._fail(412, "PreconditionFailed")
            return
        objects[key] = body
        self._answer(200, headers={"ETag": _etag(body)})

    def do_DELETE(self) -> None:
        bucket, key, _ = self._target()
        if self._refused(bucket, key):
            return
        objects = self.server.buckets[bucket]
        wanted = self.headers.get("If-Match")
        if self.server.heeds_conditions and wanted and key in objects and wanted != _etag(objects[key]):
            self._fail(412, "PreconditionFailed")
            return
        objects.pop(key, None)
        self._answer(204)

    def do_POST(self) -> None:
        """DeleteObjects."""
        bucket, _, _ = self._target()
        keys = re.findall(r"<Key>(.*?)</Key>", self.rfile.read(int(self.headers["Content-Length"])).decode(), re.S)
        if not any(self._refused(bucket, unescape(key, _QUOTES)) for key in keys):
            for key in keys:
                self.server.buckets[bucket].pop(unescape(key, _QUOTES), None)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            answer = f"<DeleteResult>{deleted}</DeleteResult>"
            self._answer(200, answer.encode(), {"Content-Type": "application/xml"})


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


class S3Server(ThreadingHTTPServer):
    """`buckets` is what is stored; keys that begin with one of `forbidden` may not be touched; `page` keys at a time.

    heeds_conditions  whether it looks at the condition of a delete
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.forbidden: list[str] = []
        self.page = 1000
        self.heeds_conditions = True

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_address[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def serving() -> Iterator[S3Server]:
    """A running server."""
    with S3Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
