"""Stores are reached as the environment says, whatever lake other tests of this process keep open."""

from __future__ import annotations

import pytest

from carlake.storage import clients


@pytest.fixture(autouse=True)
def no_lakes_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open lake says how stores are reached that no lake has named: not here."""
    monkeypatch.setattr(clients, "_usual", [])
