"""Doctor: every check finds what it is for, and the commands that it names mend that: the runbook's, each run here."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cli.command_line import Said, say
from tests.upkeep import damages
from tests.upkeep.damages import DAMAGES, SETTINGS, Contents, contents, look, now, opened, table_folder
from tests.upkeep.test_recover import files_of

from carlake.lakehouse import Lakehouse
from carlake.refresh.circuits import Circuits
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.checks.every import CHECKS, check_named
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.recovery.tables import Lost, Toll
from carlake.upkeep.recovery.untold import Untold
from docs import make_runbook
from lakes import ALERTS, STATE, put
from landing.ordinary_user import open_to_all, ordinary_user


def _wait_for_a_person(root: Path) -> None:
    """What the finding says that a person has to do first."""


@dataclass
class Scenario:
    """One trouble of a lake.

    do      brings it about, and says what the finding must say
    first   what a person mends before the commands
    later   how long after it is looked
    code    how the last command ends
    """

    do: Callable[[Path], str]
    first: Callable[[Path], None] = _wait_for_a_person
    later: timedelta = timedelta()
    deep: bool = False
    code: int = 0
    where: Callable[[Path], Path] = field(default=lambda root: root)


def _nothing(root: Path) -> str:
    shutil.rmtree(root)
    return "There is no lake"


_LOCKS: dict[Path, sqlite3.Connection] = {}


def _locked(root: Path) -> str:
    _LOCKS[root] = sqlite3.connect(root / "catalog.db", isolation_level=None)
    _LOCKS[root].execute("BEGIN EXCLUSIVE")
    return "database is locked"


def _unlock(root: Path) -> None:
    _LOCKS.pop(root).close()


def _definition(root: Path) -> str:
    rules = root.parent / "rules.yaml"
    rules.write_text("rules:\n  SPEEDING_ALERT: off\n")
    toml = root / "carlake.toml"
    toml.write_text(f'rules = ["{rules}"]\n' + toml.read_text())
    return "was built with another definition"


def _day_ahead(root: Path) -> str:
    with opened(root) as house:
        house.run(today=now().date() + timedelta(days=40))
    return f"today is {now().date()}"


def _held(root: Path) -> str:
    with opened(root) as house:
        runs = [run for run in house.runs().to_pylist() if run["trigger"] == "run"]
        house.rollback(str(runs[0]["run_id"]))
    return "is held since"


def _circuit(root: Path) -> None:
    """What processes write down of a table whose refreshes fail."""
    circuits = Circuits.of_lake(look(root).lake, SETTINGS, lambda: datetime.now(UTC))
    for _ in range(SETTINGS.circuit_failures):
        circuits.failed(ALERTS, "No space left on device", "20260101T000000-abcdef", datetime.now(UTC))


def _remove_link(root: Path) -> None:
    (root / "landing" / "broken.json").unlink()


def _waits(root: Path) -> str:
    put(root / "landing" / "waits.json", '{"waits": 1}')
    return "waits for more than an hour"


def _orphan(root: Path) -> str:
    path = table_folder(root, STATE) / "data" / "nobodys.parquet"
    path.write_bytes(b"half a file")
    os.utime(path, (now().timestamp() - 7200,) * 2)
    return "1 file of 11 bytes"


def _broken_off(root: Path) -> str:
    Untold(look(root).lake).note("", "a run", Toll(damaged=[Lost("data file a", "is missing")]))
    return "it has told nobody yet"


def _from_the_list(check: str) -> Scenario:
    damage = next(damage for damage in DAMAGES if damage.check == check)
    return Scenario(damage.do, deep=damage.deep)


SCENARIOS: dict[str, Scenario] = {
    **{damage.check: _from_the_list(damage.check) for damage in DAMAGES},
    "no-lake": Scenario(_nothing),
    "lake-moved": Scenario(damages.moved_here),
    "catalog-unreachable": Scenario(_locked, first=_unlock),
    "landing-unreadable": Scenario(_from_the_list("landing-unreadable").do, first=_remove_link),
    "landing-waits": Scenario(_waits, later=timedelta(hours=2)),
    "definition": Scenario(_definition),
    "day-ahead": Scenario(_day_ahead),
    "held": Scenario(_held),
    "recovery-broken-off": Scenario(_broken_off),
    "orphan-files": Scenario(_orphan, deep=True),
}
ALONE = ("lake-unreachable", "lake-newer", "settings", "clock", "disk-low", "disk-full", "permission", "circuit-open")
"""Checks that have tests of their own below."""
QUEUE = ("queue-unusable", "queue-no-redrive", "queue-dead-letters")
"""Checks that are tested with a queue: tests/queues."""


@pytest.fixture
def _unlocked() -> Iterator[None]:
    yield
    while _LOCKS:
        _LOCKS.popitem()[1].close()


def test_every_check_is_tested() -> None:
    assert {check.name for check in CHECKS} == {*SCENARIOS, *ALONE, *QUEUE}
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def on_the_page() -> set[str]:
    return set(make_runbook.commands(make_runbook.PAGE.read_text(encoding="utf-8")))


def call(command: str, root: Path) -> Said:
    """A command of the list, as a shell would call it, on this lake."""
    if "$(" in command:
        command = subprocess.run(["bash", "-c", f"echo {command}"], capture_output=True, text=True, check=True).stdout
    # A person would be asked where history is given up; here is nobody to answer.
    unasked = ["--yes"] if command == "carlake recover" else []
    return say(*command.split()[1:], *unasked, "--lake", root)


@pytest.mark.usefixtures("_unlocked")
@pytest.mark.parametrize("name", [check.name for check in CHECKS if check.commands and check.name not in ALONE])
def test_the_commands_of_a_check_mend_what_it_finds(lake: Path, rows: Contents, name: str) -> None:
    scenario, check = SCENARIOS[name], check_named(name)
    said = scenario.do(lake)

    def found() -> list[str]:
        lake_now = Inspection(lake, deep=scenario.deep, now=now() + scenario.later)
        findings = diagnose(lake_now).findings
        assert not any("could not be checked" in f.what for f in findings), findings
        return [f"{f.where}: {f.what}" for f in findings if f.check == name]

    assert any(said in text for text in found()), found()
    scenario.first(lake)
    for command in check.commands:
        before = files_of(lake)
        ended = call(command, lake)
        assert ended.code == 0, (command, ended)
        if command.endswith("--dry-run"):
            assert files_of(lake) == before
    assert found() == []
    if name not in OTHER_ROWS:
        assert contents(lake) == rows


OTHER_ROWS = ("no-lake", "archive-ahead", "records-outside", "landing-waits", "definition", "day-ahead", "held")
"""Checks whose scenario lands something, or undoes it."""


@pytest.mark.usefixtures("_unlocked")
@pytest.mark.parametrize("name", [name for name in SCENARIOS if not check_named(name).commands])
def test_a_check_without_commands_finds_what_it_is_for(lake: Path, name: str) -> None:
    scenario = SCENARIOS[name]
    said = scenario.do(lake)
    found = diagnose(look(lake, deep=scenario.deep)).findings
    assert any(said in f"{f.where}: {f.what}" for f in found if f.check == name), found


def test_every_command_of_the_runbook_is_run() -> None:
    run = {command for check in CHECKS if check.name not in ALONE for command in check.commands}
    assert on_the_page() - run == {"carlake doctor"} - run


def test_open_circuits(lake: Path) -> None:
    _circuit(lake)
    found = [f for f in diagnose(look(lake, deep=False)).findings if f.check == "circuit-open"]
    assert [f.where for f in found] == [ALERTS]
    assert found[0].what == "failed 3 times in a row, the last time with: No space left on device"
    (command,) = check_named("circuit-open").commands
    assert call(command, lake).code == 0
    assert [f for f in diagnose(look(lake, deep=False)).findings if f.check == "circuit-open"] == []


def test_a_lake_in_a_store_out_of_reach_is_not_called_missing(tmp_path: Path) -> None:
    """Who believes that there is no lake makes another."""
    nobody = {"endpoint": "http://127.0.0.1:9", "region": "none", "max_retries": "0"}
    keys = {"access_key_id": "none", "secret_access_key": "none"}
    out = {
        "CARLAKE_CATALOG": "sql",
        "CARLAKE_CATALOG_URI": f"sqlite:///{tmp_path}/catalog.db",
        "CARLAKE_STORE_PROPERTIES": json.dumps(nobody | keys),
        "CARLAKE_STATE_FOLDER": str(tmp_path / "state"),
    }
    said, refused = (
        subprocess.run(
            [Path(sys.executable).with_name("carlake"), command, "--lake", "s3://fleet/lake", "--json"],
            env=os.environ | out,
            capture_output=True,
            text=True,
            check=False,
        )
        for command in ("doctor", "recover")
    )
    assert (said.returncode, refused.returncode, said.stderr) == (1, 1, "")  # nothing of the tries
    found = json.loads(said.stdout)
    assert [finding["check"] for finding in found["findings"]] == ["lake-unreachable"]
    assert "cannot be reached" in found["findings"][0]["what"] and found["mends"] == ["carlake doctor"]
    assert "cannot be reached" in json.loads(refused.stdout)["error"]["what"]
    assert "stamina" not in refused.stderr


def test_a_newer_lake_is_left_alone(lake: Path) -> None:
    toml = lake / "carlake.toml"
    toml.write_text(toml.read_text().replace("format = 1", "format = 9"))
    said = say("doctor", "--lake", lake, "--json")
    assert said.code == 1 and [f["check"] for f in said.json["findings"]] == ["lake-newer"]
    before = {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}
    refused = say("recover", "--lake", lake, "--json")
    assert refused.code == 1 and [f["check"] for f in refused.json["blocked"]] == ["lake-newer"]
    assert before == {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}


@pytest.mark.parametrize("line", ['no_such_key = "x"', 'rules = ["/nowhere/rules.yaml"]', "[lake"])
def test_settings_that_cannot_be_read_are_named(lake: Path, line: str) -> None:
    toml = lake / "carlake.toml"
    toml.write_text(f"{line}\n" + toml.read_text())
    found = diagnose(Inspection(lake, now=now())).findings
    assert found and {f.check for f in found} <= {"settings", "lake-file"}, found


@pytest.mark.parametrize("package", ["pyspark", "sqlglot"])
def test_an_engine_that_is_not_installed_is_named(lake: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("CARLAKE_ENGINE", "spark")
    refused = say("run", "--lake", lake)
    assert refused.code == 1 and f"no {package}" in refused.err
    assert "pip install -c constraints.txt -e '.[spark]'" in refused.err and "Unexpected" not in refused.err
    found = [f for f in diagnose(Inspection(lake, now=now())).findings if f.check == "settings"]
    assert len(found) == 1 and "'.[spark]'" in found[0].what


def test_times_in_the_future(lake: Path) -> None:
    past = now() - timedelta(days=1)
    found = diagnose(Inspection(lake, SETTINGS, now=past)).findings
    assert {f.check for f in found} == {"clock", "day-ahead"}
    put(lake / "landing" / "soon.json", "{}", modified=now() + timedelta(days=1))
    ahead = [f for f in diagnose(look(lake, deep=False)).findings if f.check == "clock"]
    assert [f.where for f in ahead] == [str(lake / "landing" / "soon.json")]


@pytest.mark.parametrize(("free", "check"), [(1 << 20, "disk-full"), (500 << 20, "disk-low")])
def test_a_disk_that_fills_up(lake: Path, monkeypatch: pytest.MonkeyPatch, free: int, check: str) -> None:
    usage = shutil.disk_usage(lake)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = diagnose(look(lake, deep=False)).findings
    assert {f.check for f in found} == {check}
    assert f"{free:,} bytes" in found[0].what


@pytest.mark.parametrize("folder", ["landing", "archive", "warehouse", ".carlake/scratch", "."])
def test_a_folder_that_may_not_be_written_is_named(lake: Path, folder: str) -> None:
    open_to_all(lake)
    lake.parent.chmod(0o755)
    for path in (lake, *lake.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    (lake / folder).chmod(0o555)
    try:
        with ordinary_user():
            found = [f for f in diagnose(look(lake, deep=False)).findings if f.check == "permission"]
        assert [f.where for f in found] == [str(lake / folder if folder != "." else lake)]
        assert "cannot be written to: Permission denied" in found[0].what
    finally:
        (lake / folder).chmod(0o777)
    assert diagnose(look(lake, deep=False)).findings == ()
    assert not list(lake.rglob(".carlake-try-*"))


def test_exit_codes_and_severities(lake: Path) -> None:
    well = say("doctor", "--lake", lake, "--json")
    assert (well.code, well.json["well"], well.json["worst"], well.json["findings"]) == (0, True, None, [])
    damages._dead_process(lake)
    notice = say("doctor", "--lake", lake, "--json")
    assert (notice.code, notice.json["worst"]) == (0, "notice")
    assert say("doctor", "--lake", lake, "--fail-on", "notice").code == 1
    damages._unreadable_object(lake)
    assert say("doctor", "--lake", lake).code == 1
    assert say("doctor", "--lake", lake, "--fail-on", "error").code == 0
    (lake / "catalog.db").unlink()
    broken = say("doctor", "--lake", lake, "--fail-on", "error", "--json")
    assert (broken.code, broken.json["worst"], broken.json["findings"][0]["check"]) == (1, "error", "catalog-lost")
    assert broken.json["mends"][:2] == ["carlake recover --dry-run", "carlake recover"]
    assert say("doctor", "--lake", lake, "--fail-on", "terrible").code == 2


def test_what_people_read(lake: Path) -> None:
    said = say("doctor", "--lake", lake)
    assert said.out.startswith("Well.")
    gone = damages.data_files(lake, STATE)[0]
    gone.unlink()
    said = say("doctor", "--lake", lake)
    text = " ".join(said.out.split())
    assert "error data-damaged" in text and f"carlake recover --dry-run --lake {lake}" in text
    assert f"{STATE}: {gone} is missing" in text
    planned = " ".join(say("recover", "--lake", lake, "--dry-run").out.split())
    assert f"{STATE}: make it again from silver_car_telemetry" in planned and "is missing" in planned
    assert "gives up: queries as of those moments" in planned
    asked = say("recover", "--lake", lake, stdin="y\n")
    assert asked.code == 2 and "where nobody can answer, give --yes" in asked.err and not gone.exists()
    done = say("recover", "--lake", lake, "--yes")
    assert done.code == 0 and "Verified." in done.out


def test_a_check_that_breaks_is_a_finding_and_stops_no_other(lake: Path) -> None:
    with closing(sqlite3.connect(lake / "catalog.db")) as database, database:
        database.execute("UPDATE iceberg_tables SET metadata_location = 'file:///etc' WHERE table_name = ?", (STATE,))
    (lake / "landing").rmdir()
    (lake / "landing").write_text("a file where a folder should be")
    found = diagnose(look(lake)).findings
    assert any(f.where == STATE and f.check == "metadata-damaged" for f in found)
    assert Lakehouse.doctor(lake, SETTINGS, clock=now).is_well() is False
