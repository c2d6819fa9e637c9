"""`carlake deploy check` where the lake is set up in its own way, and where a check is broken off or a function is slow.

Each test has a lake of its own in one deployment: what the check leaves there is all that is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from carlake_aws import check as checking
from carlake_aws.canary import TABLES
from carlake_aws.check import Check, Line

from aws.account import Account
from aws.deployed import athena_answers, serving
from aws.own import settings_file
from aws.test_deploy_check import SEEN, _called, _maintained, credentials, deployed
from aws.test_handler import _forget
from carlake.aws import handler, pseudonym_key
from carlake.lakehouse import Lakehouse
from carlake.refresh import land
from carlake.tables.declare import BRONZE, QUARANTINE

__all__ = ["credentials", "deployed"]  # fixtures

Reopen = Callable[..., Lakehouse]


@pytest.fixture
def reopen(deployed: Account, tmp_path: Path) -> Iterator[Reopen]:
    """Open a new lake as the function does, with settings that came with the code, a secret, a text in its own file."""
    with pytest.MonkeyPatch.context() as patch:

        def opened(file: Path | None = None, secret: str = "", own: str = "") -> Lakehouse:
            _forget()
            _wipe(deployed)
            environment = deployed.environment("intake") | {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
            for name, value in (environment | ({pseudonym_key.VARIABLE: secret} if secret else {})).items():
                patch.setenv(name, value)
            patch.setattr(handler, "file_beside_the_code", lambda: file)
            if own:
                handler._house()
                _forget()
                s3, bucket = deployed.client("s3"), deployed.names.bucket("warehouse")
                text = s3.get_object(Bucket=bucket, Key="lake/carlake.toml")["Body"].read()
                s3.put_object(Bucket=bucket, Key="lake/carlake.toml", Body=own.encode() + text)
            return handler._house()

        yield opened
        _forget()


def _wipe(account: Account) -> None:
    """A lake that is not there."""
    s3, glue, database = account.client("s3"), account.client("glue"), account.names.parameters.database
    for kind in ("warehouse", "archive", "landing"):
        for one in _versions(account, kind):
            s3.delete_object(Bucket=account.names.bucket(kind), Key=one["Key"], VersionId=one["VersionId"])
    for table in glue.get_tables(DatabaseName=database)["TableList"]:
        glue.delete_table(DatabaseName=database, Name=table["Name"])


def _versions(account: Account, kind: Any) -> list[dict[str, Any]]:
    told = account.client("s3").list_object_versions(Bucket=account.names.bucket(kind))
    return [*told.get("Versions", ()), *told.get("DeleteMarkers", ())]


def _left(account: Account) -> list[str]:
    """What is left of any event: rows, and versions of objects."""
    house = handler._house()
    rows = [table for table in (*TABLES, QUARANTINE) if house.query(f"SELECT 1 FROM {table}").num_rows]
    return rows + [one["Key"] for kind in ("landing", "archive") for one in _versions(account, kind)]


def _lines(account: Account, seconds: float = 60.0, **parameters: str) -> dict[str, Line]:
    own = account.names.parameters.model_copy(update=parameters)
    with serving(account, _called, _maintained):
        return {line.step: line for line in Check(own, seconds, 0.2).lines()}


def _wrong(lines: dict[str, Line]) -> dict[str, Line]:
    return {step: line for step, line in lines.items() if line.outcome != "ok"}


def test_what_a_broken_off_check_left_the_next_one_removes(
    deployed: Account, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopen()

    def stopped(opened: object) -> str:
        raise KeyboardInterrupt

    with serving(deployed, _called, _maintained):
        check = Check(deployed.names.parameters, 60.0, 0.2)
        monkeypatch.setattr(check, "_ask_athena", stopped)
        with pytest.raises(KeyboardInterrupt):
            list(check.lines())
    assert _versions(deployed, "landing") == [], "what is not there is not landed again"
    deployed.put(f"carlake-check/{check._canary.car}X.json", "{}")  # as one that was killed at once
    athena_answers(deployed, SEEN)
    assert _wrong(_lines(deployed)) == {} and _left(deployed) != [], "it might be another's, under way"
    monkeypatch.setattr(checking, "_ANOTHERS", timedelta(0))
    athena_answers(deployed, SEEN)
    lines = _lines(deployed)
    assert _wrong(lines) == {} and "that broken-off checks had left" in lines["remove"].found
    assert _left(deployed) == []


def test_a_fault_of_the_check_itself_is_a_line_and_the_event_is_removed(
    deployed: Account, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopen()

    def faulty(check: Check, opened: object) -> str:
        raise KeyError("x")

    monkeypatch.setattr(Check, "_ask_athena", faulty)
    lines = _lines(deployed)
    assert list(_wrong(lines)) == ["athena"] and "KeyError" in lines["athena"].found
    assert _left(deployed) == []


def test_an_event_that_the_lakes_own_contracts_refuse_is_removed_all_the_same(
    deployed: Account, reopen: Reopen, tmp_path: Path
) -> None:
    file = settings_file(tmp_path / "own")
    file.write_text('contracts = ["contracts"]\ncontracts_off = ["car_event", "car_snapshot", "car_metrics"]\n')
    reopen(file)
    athena_answers(deployed, dict.fromkeys(TABLES, "0") | {BRONZE: "1"})
    lines = _lines(deployed, settings=str(file))
    assert _wrong(lines) == {}
    assert "own contracts and rules" in lines["arrive"].found and "silver_car_telemetry" in lines["arrive"].found
    assert _left(deployed) == []


def test_a_rule_that_is_off_is_no_fault(deployed: Account, reopen: Reopen, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("rules:\n  SPEEDING_ALERT: off\n")
    (tmp_path / "carlake.toml").write_text('rules = ["rules.yaml"]\n')
    reopen(tmp_path / "carlake.toml")
    athena_answers(deployed, SEEN | {"gold_performance_alerts_log": "0"})
    lines = _lines(deployed, settings=str(tmp_path / "carlake.toml"))
    assert _wrong(lines) == {} and lines["arrive"].found.endswith("no row of it in gold_performance_alerts_log")
    assert _left(deployed) == []


def test_a_landing_whose_objects_stay_is_no_fault(deployed: Account, reopen: Reopen) -> None:
    assert reopen(own='after_landing = "leave"\n').settings.after_landing == "leave"
    athena_answers(deployed, SEEN)
    lines = _lines(deployed)
    assert _wrong(lines) == {} and "they stay there" in lines["archive"].found
    assert _left(deployed) == []


def test_with_pseudonyms_nothing_of_the_event_goes_to_the_archive(deployed: Account, reopen: Reopen) -> None:
    made = deployed.client("secretsmanager").create_secret(Name=deployed.names.name("own"), SecretString="4f" * 32)
    assert reopen(secret=made["ARN"]).pseudonyms is not None
    athena_answers(deployed, SEEN)
    lines = _lines(deployed, pseudonym_secret=made["ARN"])
    assert _wrong(lines) == {} and "taken out before" in lines["archive"].found
    assert _left(deployed) == []


def test_what_a_function_has_in_hand_is_waited_for(
    deployed: Account, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopen()
    known, reading = land._known, threading.Event()

    def slowly(*given: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() and not reading.is_set():
            reading.set()
            threading.Event().wait(6.0)  # for longer than the check waits for its event
        return known(*given)

    monkeypatch.setattr(land, "_known", slowly)
    lines = _lines(deployed, seconds=2.0)
    assert reading.is_set() and next(iter(_wrong(lines))) == "arrive"
    assert lines["remove"].outcome == "ok" and _left(deployed) == []
