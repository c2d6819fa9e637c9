"""The command line, run in this process."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

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
