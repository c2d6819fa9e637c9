"""A real lake of a small fleet, and the command line on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.command_line import Said, say


@pytest.fixture(autouse=True)
def _steady_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def carlake() -> Callable[..., Said]:
    return say


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A lake of one's own, empty."""
    folder = tmp_path / "lake"
    assert say("init", folder).code == 0
    return folder
