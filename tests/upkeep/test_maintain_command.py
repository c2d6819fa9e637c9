"""`carlake maintain` on the command line, and what a run does by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from carlake.cli.app import call
from carlake.engines.manifests import KIND
from lakes import SILVER, heads, iceberg
from upkeep.maintained import again, data_files, land, made, opened, snapshots


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from made(tmp_path_factory.mktemp("command"))


def document(capsys: pytest.CaptureFixture[str], own: Path, *words: str) -> dict[str, object]:
    code = call(["maintain", *words, "--json", "--lake", str(own / "lake")])
    captured = capsys.readouterr()
    assert code == 0, captured
    found: dict[str, object] = json.loads(captured.out)
    return found


def test_the_command(own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARLAKE_KEEP_SNAPSHOTS", "5")
    with opened(own) as house:
        stood = heads(house)
    planned = document(capsys, own, "--dry-run")
    assert planned["dry_run"] is True and {"compact", "expire"} <= {due["task"] for due in planned["due"]}  # type: ignore[attr-defined]
    with again(own) as house:
        assert heads(house) == stood
    done = document(capsys, own, SILVER)
    assert {each["table"] for each in done["done"]} == {SILVER} and not done["busy"]  # type: ignore[attr-defined]
    with again(own) as house:
        assert data_files(house, SILVER) == 1 and house.verify().ok
    assert call(["maintain", "silver", "--lake", str(own / "lake")]) in (0, 2)
    capsys.readouterr()
    assert call(["maintain", "no_such_table", "--lake", str(own / "lake")]) == 2
    assert call(["maintain", "--lake", str(own / "lake")]) == 0
    assert "Maintained" in capsys.readouterr().out
    assert call(["maintain", "--dry-run", "--lake", str(own / "lake")]) == 0


def test_a_run_does_a_little_by_itself(own: Path) -> None:
    with opened(own, maintenance="auto") as house:
        assert house.run().idle and data_files(house, SILVER) == 9, "an idle run looks for nothing"
        land(house, 20)
        assert data_files(house, SILVER) == 1
        assert iceberg(house, SILVER).current_snapshot().summary.additional_properties[KIND] == "compaction"
        for number in range(21, 27):
            land(house, number)
        assert len(snapshots(house, SILVER)) < 15
        assert house.verify().ok and not house.verify().behind
    with opened(own) as house:
        land(house, 20)
        assert data_files(house, SILVER) == 10, "the setting is off"
