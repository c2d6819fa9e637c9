"""AWS Lambda on this machine: its runtime API, as documented, in front of AWS's own client of it for Python.

`awslambdaric` (what AWS's images for Python run) loads the handler from the package and asks this server for events. The
server does what Lambda does around it: it tells the deadline, ends what runs past it, counts a process that ends as an
error, and starts a new one for the next event. Of "Using the Lambda runtime API" (AWS Lambda Developer Guide) it has next,
response, error and init/error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from servers.provide import once, unpack
from servers.sandbox import RUNTIME, TASK, Sandbox

CLIENT = "awslambdaric==4.2.2"
_NEEDS = ("simplejson==4.3.0", "snapshot-restore-py==1.0.0")
_VERSION = "2018-06-01"
_START_SECONDS = 120

TIMED_OUT, EXITED = "Sandbox.Timedout", "Runtime.ExitError"


@dataclass(frozen=True)
class Answer:
    """What came of one call.

    payload       what the handler returned; of an error what is told of it
    error         "", or the type of the error: the handler's own, TIMED_OUT or EXITED
    seconds       from the event to the answer
    init_seconds  what starting took before that; 0 where the process was there
    """

    payload: Any
    error: str
    seconds: float
    init_seconds: float


@dataclass
class _Call:
    event: bytes
    id: str
    seconds: float
    begun: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    answer: tuple[Any, str] = (None, "")


class Function:
    """A function that can be called. `log` is the file with all that it printed."""

    def __init__(
        self, sandbox: Sandbox, handler: str, environment: Mapping[str, str], seconds: float, log: Path
    ) -> None:
        self.log, self.tmp = log, sandbox.tmp
        self.starts = 0
        self._sandbox, self._handler, self._environment, self._seconds = sandbox, handler, environment, seconds
        self._server = _Api(("127.0.0.1", 0), _Handler)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the process that runs the handler."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether there is such a process now."""
        return self._process is not None and self._process.poll() is None

    def invoke(self, event: Any, seconds: float | None = None) -> Answer:
        """Call it, with the time limit that it was made with, or another."""
        init = 0.0 if self.alive else self._start()
        call = _Call(json.dumps(event).encode(), str(uuid4()), self._seconds if seconds is None else seconds)
        self._server.hand(call)
        asked = time.monotonic()
        while not call.done.wait(0.01):
            now = time.monotonic()
            if call.begun and now - call.begun > call.seconds:
                self.kill()
                self._server.forget()
                return Answer(None, TIMED_OUT, now - call.begun, init)
            if not self.alive and not call.done.wait(0.2):
                self._server.forget()
                return Answer(None, EXITED, now - (call.begun or asked), init)
        payload, error = call.answer
        return Answer(payload, error, time.monotonic() - call.begun, init)

    def kill(self) -> None:
        """End the process at once, as Lambda does where time is over, and as a lost machine would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def wait_until_ended(self) -> None:
        """Come back when the process that runs now has been ended."""
        process = self._process
        assert process is not None
        process.wait(_START_SECONDS)

    def said(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-8000:]

    def _start(self) -> float:
        self.kill()
        self._server.ready.clear()
        self._server.failed = ""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._sandbox.command(["-S", "-s", "-m", "awslambdaric", self._handler], self._variables()),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        begun = time.monotonic()
        while not self._server.ready.wait(0.01):
            took = time.monotonic() - begun
            if self._server.failed or not self.alive or took > _START_SECONDS:
                self.kill()
                raise RuntimeError(f"The function does not start: {self._server.failed}\n{self.said()}")
        self.starts += 1
        return time.monotonic() - begun

    def _variables(self) -> dict[str, str]:
        """Those that Lambda sets, and the function's own."""
        return {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._sandbox.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/function",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
            "LAMBDA_TASK_ROOT": TASK,
            "LAMBDA_RUNTIME_DIR": RUNTIME,
            "PYTHONPATH": f"{TASK}:{RUNTIME}",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "_HANDLER": self._handler,
            **self._environment,
        }

    def __enter__(self) -> Function:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running(
    package: Path, handler: str, environment: Mapping[str, str], folder: Path, *, memory_mb: int, seconds: float
) -> Iterator[Function]:
    """A function of this package, with what it can write in `folder`; its process starts with the first call.

    handler     module and name, as in the function's configuration
    memory_mb   as configured: what the process may allocate
    seconds     its time limit
    """
    for name in ("root", "tmp"):
        (folder / name).mkdir(parents=True)
    sandbox = Sandbox(folder / "root", folder / "tmp", package, provide(), memory_mb)
    with Function(sandbox, handler, environment, seconds, folder / "log") as function:
        yield function


def provide() -> Path:
    """AWS's client of the runtime API, as it lies in Lambda's own folder."""
    return once(CLIENT.replace("==", "-"), lambda folder: unpack(folder, CLIENT, *_NEEDS))


class _Api(ThreadingHTTPServer):
    """The runtime API. `ready` is set while a process waits for an event; `failed` is what it said where it cannot start."""

    daemon_threads = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.ready, self.failed = threading.Event(), ""
        self.changed = threading.Condition()
        self.waiting: _Call | None = None
        self.given: _Call | None = None
        self.asking: _Handler | None = None

    def hand(self, call: _Call) -> None:
        """Give a call to the next that asks."""
        with self.changed:
            self.waiting = call
            self.changed.notify_all()

    def forget(self) -> None:
        """Whoever was given the call is gone."""
        with self.changed:
            self.waiting = self.given = None

    def handle_error(self, request: object, client_address: object) -> None:
        """A process that was ended is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Api

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        """A process asks for its next event, and waits until there is one."""
        assert self.path == f"/{_VERSION}/runtime/invocation/next", self.path
        api = self.server
        with api.changed:
            api.asking = self
            api.changed.notify_all()
            api.ready.set()
            api.changed.wait_for(lambda: api.asking is not self or api.waiting is not None)
            if api.asking is not self:
                return  # this process has been ended, and another one asks
            call, api.waiting = api.waiting, None
            api.given = call
        assert call is not None
        call.begun = time.monotonic()
        deadline = int((time.time() + call.seconds) * 1000)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": call.id,
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:function",
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{'0' * 24};Parent={'0' * 16};Sampled=1",
            "Content-Type": "application/json",
        }
        self._say(200, call.event, headers)

    def do_POST(self) -> None:
        """A process answers, or says that it failed."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        api = self.server
        told = json.loads(body) if body else None
        if self.path == f"/{_VERSION}/runtime/init/error":
            api.failed = json.dumps(told)
        else:
            asked, what = self.path.rsplit("/", 2)[1:]
            with api.changed:
                call = api.given
            if call is not None and call.id == asked:
                error = "" if what == "response" else str((told or {}).get("errorType") or "error")
                call.answer = (told, error)
                call.done.set()
        self._say(202, b"{}", {})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
