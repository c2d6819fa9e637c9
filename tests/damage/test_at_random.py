"""A few files damaged at random; many: `make torture`."""

from __future__ import annotations

from pathlib import Path

from damage.at_random import damage


def test_damage_is_named_or_harmless(small_folder: Path) -> None:
    outcome = damage(small_folder, times=20)
    assert outcome.wrong == []
    assert outcome.named["parquet"] and outcome.named["manifest"] and outcome.named["manifest list"]
