"""Hooks, told by a real server and a real command: what they get, what is tried again, and that none fails a run."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import carlake.hooks
from carlake.errors import SettingsError
from carlake.hooks import Event, Hooks
from carlake.lakehouse import Lakehouse
from carlake.refresh.context import WATCH
from carlake.settings import Settings
from lakes import BRONZE, STATE, iceberg, nested, put


class Receiver(ThreadingHTTPServer):
    """A webhook that notes what it got, and answers as told: one code for each call, then 204."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alerts?key=sesame"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.headers.append(dict(self.headers))
        code = self.server.answers.pop(0) if self.server.answers else 204
        if code == 0:  # cut the line without an answer
            self.close_connection = True
            return
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.got.append({"event": "a GET"})
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the standard library)
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def event(error: str = "File x.parquet is missing.") -> Event:
    return Event("circuit_opened", datetime(2025, 11, 1, tzinfo=UTC), "/lake", "run-1", STATE, error, {"failures": 3})


def test_the_webhook_gets_the_event_as_json_with_the_headers_of_the_settings(receiver: Receiver) -> None:
    hooks = Hooks(receiver.url, {"Authorization": "Bearer sesame"})
    told = event("no space: é\n'\"")
    hooks.fire(told)
    hooks.close()
    (got,) = receiver.got
    assert got == json.loads(told.document()) and got["error"] == "no space: é\n'\"" and got["id"] == told.id
    assert (got["event"], got["table"], got["failures"], got["at"]) == (
        "circuit_opened",
        STATE,
        3,
        "2025-11-01T00:00:00+00:00",
    )
    assert receiver.headers[0]["Authorization"] == "Bearer sesame"
    assert receiver.headers[0]["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("answers", [[503, 429], [0, 500]])
def test_what_may_pass_is_tried_again_with_the_same_id(receiver: Receiver, answers: list[int]) -> None:
    receiver.answers = list(answers)
    hooks = Hooks(receiver.url)
    hooks.fire(event())
    hooks.close()
    assert len(receiver.got) == 3 and len({got["id"] for got in receiver.got}) == 1


@pytest.mark.parametrize(("code", "said"), [(404, "it answered 404"), (302, "it answered 302 (a redirect")])
def test_what_will_not_pass_is_said_once(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], code: int, said: str
) -> None:
    receiver.answers = [code]
    hooks = Hooks(receiver.url)
    with caplog.at_level(logging.WARNING):
        hooks.fire(event())
        hooks.close()
    assert len(receiver.got) == 1 and said in caplog.text and "circuit_opened" in caplog.text
    assert "sesame" not in caplog.text, "the address may hold a secret"
    assert capsys.readouterr().out == "", "standard output is for documents"


def test_retries_print_nothing_to_standard_output(receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    receiver.answers = [503]
    hooks = Hooks(receiver.url)
    hooks.fire(event())
    hooks.close()
    assert len(receiver.got) == 2 and capfd.readouterr().out == ""


def test_a_hook_that_is_slow_holds_nothing_up(tmp_path: Path) -> None:
    done = tmp_path / "done"
    script = f"import time, sys; sys.stdin.read(); time.sleep(0.5); open({str(done)!r}, 'a').write('x')"
    hooks = Hooks(command=(sys.executable, "-c", script))
    before = time.monotonic()
    hooks.fire(event())
    fired = time.monotonic() - before
    assert not done.exists(), f"fire waited {fired} s"
    hooks.close()
    assert done.read_text() == "x", "close waits"


@contextmanager
def dripping(answer: bytes) -> Iterator[str]:
    """A webhook that begins with this answer and then gives one byte after another for as long as somebody listens."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError), listener.accept()[0] as line:
                line.recv(1 << 16)
                line.sendall(answer)
                while not ended.wait(0.02):
                    line.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", "the webhook of the settings was not told of circuit_opened: TimeoutError"),
    ],
    ids=["body", "header"],
)
def test_a_webhook_that_drips_holds_up_neither_the_command_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answer: bytes, said: str
) -> None:
    monkeypatch.setattr(carlake.hooks, "LONGEST_SECONDS", 3)
    file = tmp_path / "got"
    script = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
    told = event()
    with dripping(answer) as url, caplog.at_level(logging.WARNING):
        hooks = Hooks(url, command=(sys.executable, "-c", script, str(file)), timeout_seconds=3)
        hooks.fire(told)
        hooks.close(20)
    assert file.read_bytes() == told.document()
    assert said in caplog.text if said else caplog.text == ""


def test_a_webhook_that_never_ends_is_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(carlake.hooks, "LONGEST_SECONDS", 0.2)
    monkeypatch.setattr(carlake.hooks, "_MOST_HANGING", 1)
    with dripping(b"HTTP/1.1 200 OK\r\nX-Long: ") as url, caplog.at_level(logging.WARNING):
        hooks = Hooks(url, timeout_seconds=0.2)
        hooks.fire(event())
        hooks.fire(event())
        hooks.close(20)
    assert "did not answer within 0.2 s" in caplog.text and "1 earlier calls did not end yet" in caplog.text


def test_the_command_gets_the_event_on_standard_input_and_no_shell(tmp_path: Path) -> None:
    file = tmp_path / "got; touch oops"
    script = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
    hooks = Hooks(command=(sys.executable, "-c", script, str(file)))
    told = [event(), event("second")]
    for each in told:
        hooks.fire(each)
    hooks.close()
    assert file.read_bytes() == b"".join(each.document() for each in told)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('mail is down')", "ended with code 1: mail is down"),
        ("import time; time.sleep(60)", "did not end within 0.5 s and was stopped"),
    ],
)
def test_a_command_that_fails_is_said_and_nothing_else(
    caplog: pytest.LogCaptureFixture, script: str, said: str
) -> None:
    hooks = Hooks(command=(sys.executable, "-c", script), timeout_seconds=0.5 if "sleep" in script else 10)
    with caplog.at_level(logging.WARNING):
        hooks.fire(event())
        hooks.close()
    assert said in caplog.text


def test_a_command_that_hangs_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {note}; wait"
    hooks = Hooks(command=("sh", "-c", script), timeout_seconds=0.5)
    hooks.fire(event())
    hooks.close()
    child = Path("/proc", note.read_text().strip())
    until = time.monotonic() + 10
    while child.exists() and _runs(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not child.exists() or not _runs(child)


def _runs(process: Path) -> bool:
    with suppress(OSError):
        return process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_nothing_that_is_wrong_with_a_hook_reaches_the_run(
    small_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(
        threads=1, hooks_webhook="http://127.0.0.1:9/", hooks_command=["/no/such/program"], hooks_timeout_seconds=1
    )
    with Lakehouse.create(small_folder / "lake", settings) as house:
        put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"))
        assert house.run().status == "succeeded"
        drop(house, BRONZE, "raw")
        put(house.lake.landing / "2.json", nested("CAR-1", "e2", "2025-10-02T08:00:00Z"))
        assert house.run().status == "failed"
        with caplog.at_level(logging.WARNING):
            house._hooks.close()
    assert "the webhook of the settings was not told of run_failed: it cannot be reached" in caplog.text
    assert (
        "the command of the settings was not told of run_failed: " in caplog.text and "/no/such/program" in caplog.text
    )


def drop(house: Lakehouse, table: str, column: str) -> int:
    before = iceberg(house, table).metadata.current_schema_id
    with iceberg(house, table).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column(column)
    return int(before)


def test_a_lake_tells_when_a_circuit_opens_and_closes_and_a_run_fails(small_folder: Path, receiver: Receiver) -> None:
    from carlake.landing.listing import list_landing
    from carlake.refresh.circuits import Circuits
    from circuits.test_failing_tables import set_schema

    settings = Settings(threads=1, hooks_webhook=receiver.url, circuit_failures=2)
    with Lakehouse.create(small_folder / "lake", settings) as house:
        put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"))
        house.run()
        schema = drop(house, STATE, "gas_type")
        put(house.lake.landing / "2.json", nested("CAR-1", "e2", "2025-10-02T08:00:00Z"))
        opened = [house.run(), house.run(), house.run()][1]
        set_schema(house, STATE, schema)
        closed = house.run()
        assert isinstance(house._circuits, Circuits) and closed.status == "succeeded"

        drop(house, BRONZE, "raw")
        put(house.lake.landing / "3.json", nested("CAR-1", "e3", "2025-10-03T08:00:00Z"))
        failed = house.run()
        assert failed.status == "failed"
        for _ in range(2):
            house.run()
        count = len(receiver.got)
        objects = list_landing(house.lake.landing).objects
        assert house.take(objects, archive=True, trigger=WATCH).status == "partial", "watch waits"
        house._hooks.close()
        assert len(receiver.got) >= count
    told = [(got["event"], got["run_id"], got["table"]) for got in receiver.got]
    assert told[:3] == [
        ("circuit_opened", opened.run_id, STATE),
        ("circuit_closed", closed.run_id, STATE),
        ("run_failed", failed.run_id, None),
    ]
    assert [event for event, _, _ in told[3:]] == ["circuit_opened", "run_failed", "run_failed"]
    first, second, third = receiver.got[:3]
    assert first["failures"] == 2 and "gas_type" in first["error"] and first["lake"] == str(house.lake.root)
    assert datetime.fromisoformat(first["retry_at"]) > datetime.fromisoformat(first["since"])
    assert "gas_type" in second["error"] and third["tables"] == [BRONZE] and "column raw" in third["error"]


def test_watch_tells_of_a_failing_landing_once(small_folder: Path, receiver: Receiver) -> None:
    from datetime import timedelta

    from carlake.landing.listing import list_landing

    now = datetime(2025, 11, 1, tzinfo=UTC)
    settings = Settings(threads=1, hooks_webhook=receiver.url, circuit_failures=2)
    with Lakehouse.create(small_folder / "lake", settings, clock=lambda: now) as house:
        put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"))
        house.run()
        drop(house, BRONZE, "raw")
        put(house.lake.landing / "2.json", nested("CAR-1", "e2", "2025-10-02T08:00:00Z"))
        for _ in range(5):
            now += timedelta(seconds=400)
            assert house.take(list_landing(house.lake.landing).objects, archive=True, trigger=WATCH).status == "failed"
    assert [got["event"] for got in receiver.got] == ["run_failed", "circuit_opened", "run_failed"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hooks_webhook", "ftp://sesame.example/"),
        ("hooks_webhook", "sesame"),
        ("hooks_headers", {"X-Key": "sesame\r\nX-Other: 1"}),
        ("hooks_headers", {"X Key": "sesame"}),
    ],
)
def test_a_hook_that_cannot_be_is_refused_without_its_secret(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=key) as refused:
        Settings(**{key: value})
    assert "sesame" not in str(refused.value)
