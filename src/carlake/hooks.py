"""Hooks: an event that a person should hear of is posted to a webhook and given to a command, as the settings say.

An event is one JSON object. Its `id` is the same in every retry, so a receiver can tell a repetition. A hook runs beside
the work and never in it: one that is slow holds nothing up, one that fails is said in the log and fails no run.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Literal, NoReturn

from carlake.settings import Settings
from carlake.version import VERSION

Kind = Literal["circuit_opened", "circuit_closed", "run_failed"]
"""What is told.

circuit_opened  a table failed several times in a row and is tried less often from now on
circuit_closed  such a table succeeded again, or is left as it is, since its definition is another one
run_failed      a run could not take anything in, or no table of it could be refreshed
"""

TRIES = 4
LONGEST_SECONDS = 30.0
"""How long one event is tried at the webhook in all, where no single call may take longer, and how long a process that
ends waits for its hooks."""

_MOST_WAITING = 100
_MOST_HANGING = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    lake     the lake's folder
    run_id   the run that it happened in
    table    the table it is about, None where it is about the whole run
    error    the cause, as the run reported it; of a circuit that closed, what it had been
    details  more, by name: failures, since, retry_at, ...
    """

    kind: Kind
    at: datetime
    lake: str
    run_id: str
    table: str | None = None
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def document(self) -> bytes:
        """The event as a hook gets it: JSON, UTF-8, one line."""
        values = {
            "event": self.kind,
            "id": self.id,
            "at": self.at.astimezone(UTC),
            "lake": self.lake,
            "run_id": self.run_id,
            "table": self.table,
            "error": self.error,
            **self.details,
            "version": VERSION,
        }
        shown = {name: v.isoformat() if isinstance(v, datetime) else v for name, v in values.items()}
        return json.dumps(shown, ensure_ascii=False).encode() + b"\n"


class Hooks:
    """Tells events to the hooks of the settings: to each one after another, whatever becomes of the other hook."""

    def __init__(
        self,
        webhook: str | None = None,
        headers: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        timeout_seconds: float = 10.0,
    ) -> None:
        self._webhook = webhook
        self._headers = dict(headers or {})
        self._command = tuple(command)
        self._timeout = timeout_seconds
        self._hanging: list[threading.Thread] = []
        self._tellers: list[_Teller] = []
        if webhook is not None:
            self._tellers.append(_Teller("webhook", self._post_in_time))
        if command:
            self._tellers.append(_Teller("command", self._run))

    @classmethod
    def of(cls, settings: Settings) -> Hooks:
        """The hooks of the settings."""
        return cls(
            settings.hooks_webhook.get_secret_value() if settings.hooks_webhook else None,
            {name: value.get_secret_value() for name, value in settings.hooks_headers.items()},
            settings.hooks_command,
            settings.hooks_timeout_seconds,
        )

    def fire(self, event: Event) -> None:
        """Tell an event. Returns at once and raises nothing."""
        for teller in self._tellers:
            teller.tell(event)

    def close(self, longest_seconds: float = LONGEST_SECONDS) -> None:
        """Wait until every event was told or given up, but no longer than so."""
        until = time.monotonic() + longest_seconds
        ending = [teller.end(until) for teller in self._tellers]
        for thread in ending:
            if thread is not None:
                thread.join(max(until - time.monotonic(), 0))

    def _post_in_time(self, event: Event) -> None:
        """Post in a thread of its own, left alone when time is up: a timeout of its own ends no answer that keeps dripping."""
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _MOST_HANGING:
            raise TimeoutError(f"{len(self._hanging)} earlier calls did not end yet")
        failed: list[Exception] = []

        def post() -> None:
            try:
                self._post(event)
            except Exception as error:  # noqa: BLE001  (told by the thread that waits)
                failed.append(error)

        longest = max(LONGEST_SECONDS, self._timeout)
        thread = threading.Thread(target=post, name="carlake-webhook", daemon=True)
        thread.start()
        thread.join(longest)
        if thread.is_alive():
            self._hanging.append(thread)
            raise TimeoutError(f"it did not answer within {longest:g} s")
        if failed:
            raise failed[0]

    def _post(self, event: Event) -> None:
        """Post to the webhook; what may pass (no connection, too slow, 429, 5xx) is tried again, with growing waits."""
        import stamina

        # Of its own accord it prints each retry, through structlog to standard output, which is not its to write.
        stamina.instrumentation.set_on_retry_hooks(())
        for attempt in stamina.retry_context(
            on=_may_pass, attempts=TRIES, timeout=LONGEST_SECONDS, wait_initial=0.5, wait_max=8.0
        ):
            with attempt:
                assert self._webhook is not None
                request = urllib.request.Request(  # noqa: S310  (the settings take http and https alone)
                    self._webhook,
                    data=event.document(),
                    headers={
                        "Content-Type": "application/json; charset=utf-8",
                        "User-Agent": f"carlake/{VERSION}",
                        **self._headers,
                    },
                    method="POST",
                )
                try:
                    # The status says all; what else it answers is not waited for.
                    urllib.request.build_opener(_NoRedirect).open(request, timeout=self._timeout).close()
                except urllib.error.HTTPError as answer:
                    answer.close()
                    raise

    def _run(self, event: Event) -> None:
        """Start the command with the event on its standard input; with all it started, it is ended when time is up."""
        with subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # In a group of its own, an interrupt at the terminal ends the run and not the telling of it.
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(event.document(), self._timeout)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise TimeoutError(f"it did not end within {self._timeout:g} s and was stopped") from None
            if process.returncode:
                text = " ".join(said.decode(errors="replace").split())[-500:]
                raise OSError(f"it ended with code {process.returncode}: {text or 'it printed nothing'}")


class _Teller:
    """Tells events to one hook, one after another, in a thread of its own that starts with the first."""

    def __init__(self, name: str, call: Callable[[Event], None]) -> None:
        self._name = name
        self._call = call
        self._waiting: queue.Queue[Event | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None

    def tell(self, event: Event) -> None:
        """Put an event in the row. Returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._tell, name=f"carlake-{self._name}-hook", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            _log.warning(
                "the %s of the settings was not told of %s: %d others wait for it",
                self._name, event.kind, _MOST_WAITING,
            )  # fmt: skip

    def end(self, until: float) -> threading.Thread | None:
        """Take no more events; gives the thread that tells those that wait, None where there was none."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with suppress(queue.Full):
                self._waiting.put(None, timeout=max(until - time.monotonic(), 0))
        return thread

    def _tell(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                self._call(event)
            except Exception as error:  # noqa: BLE001  (a hook that fails never fails a run)
                _log.warning("the %s of the settings was not told of %s: %s", self._name, event.kind, _why(error))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, without the event: it is an error, which names where to."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> NoReturn:
        raise urllib.error.HTTPError(req.full_url, code, f"it redirects to {newurl}", headers, fp)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (408, 425, 429) or error.code >= 500
    return isinstance(error, OSError | HTTPException)


def _why(error: Exception) -> str:
    """The cause without the webhook's address, which may hold a secret."""
    if isinstance(error, urllib.error.HTTPError):
        return (
            f"it answered {error.code} {error.reason if error.code >= 400 else '(a redirect; give the address itself)'}"
        )
    if isinstance(error, urllib.error.URLError):
        return f"it cannot be reached: {error.reason}"
    return f"{type(error).__name__}: {error}"
