"""The command line in this process, on a real lake of a small fleet."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from carlake.cli.app import call


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str
    raw: bytes

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def say(*words: object, stdin: str = "", terminal: bool = False) -> Said:
    """Run a command as `main` does. No command may end in a stack trace."""
    kind = Terminal if terminal else io.TextIOWrapper
    out, err = kind(io.BytesIO(), encoding="utf-8", newline=""), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = call([str(word) for word in words])
    finally:
        sys.stdin = before
    out.flush()
    err.flush()
    raw = out.buffer.getvalue()  # type: ignore[attr-defined]
    said = Said(code, raw.decode("utf-8", "replace"), err.buffer.getvalue().decode(), raw)  # type: ignore[attr-defined]
    assert "Traceback" not in said.err + said.out
    return said


@pytest.fixture(autouse=True)
def _steady_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def carlake() -> Callable[..., Said]:
    return say


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake that tests only read: 60 events of 5 cars, 6 of them repeated, 6 spoilt; one file waits in landing."""
    folder = tmp_path_factory.mktemp("read") / "lake"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARLAKE_")}
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environment):
            patch.delenv(name)
        assert say("init", folder).code == 0
        few = ("--duplicates", 0.1, "--bad", 0.1, "--corrections", 0, "--stale", 0)
        assert say("simulate", "--lake", folder, "--events", 60, "--cars", 5, *few).code == 0
        assert say("run", "--lake", folder).code == 0
        waiting = folder / "landing" / "waits.json"
        waiting.write_text('{"event_id": "later"}')
    yield folder


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A lake of one's own, empty."""
    folder = tmp_path / "lake"
    assert say("init", folder).code == 0
    return folder


def event(number: int = 1, **more: Any) -> dict[str, Any]:
    """A flat record of one car."""
    record = {
        "carChassis": "CAR1",
        "manufacturer": "Orrery",
        "model": "Io",
        "year": 2020,
        "telemetryTimestamp": f"2026-03-{number:02}T10:00:00Z",
        "metrics": {"currentMileageKm": 100.0 * number, "fuelAvailableLiters": 40.0, "engineTempCelsius": 90.0},
    }
    return record | more
