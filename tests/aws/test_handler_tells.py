"""What a call says of itself: what the alarms hear, and how soon a message comes again that is given back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import get_args

import pytest
from carlake_aws.names import RECEIVES
from carlake_aws.questions import FRESH

from aws.account import Account
from aws.test_handler import Call, _forget, account, call, event, server
from carlake.aws import handler, messages, own_settings
from carlake.refresh import run
from carlake.refresh.report import Step
from servers.faults import Fault

__all__ = ["account", "server"]


def test_a_table_that_is_not_as_it_should_be_is_told_of_by_every_run(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    account.put("a.ndjson", event("A", 1))
    assert call(account) == []
    assert _emitted(capsys, "TablesNotDone") == [0]
    handler.maintenance({"duty": "maintain"}, Call([300.0]))
    assert _emitted(capsys, "TablesNotDone") == [], "without a run nothing is known"
    # The next version has another definition of one table, and nobody has rebuilt it yet.
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  SPEEDING_ALERT:\n    above: {WARNING: 90}\n")
    file = tmp_path / "carlake.toml"
    file.write_text(f'rules = ["{rules}"]\n')
    monkeypatch.setattr(handler, "file_beside_the_code", lambda: file)
    _forget()
    account.put("b.ndjson", event("A", 2))
    told = account.event()
    account.settle(told, handler.intake(told, Call([300.0])))
    output = capsys.readouterr().out
    assert _values(output, "TablesNotDone") == [1] and _values(output, "RunsFailed") == [0]
    assert '"not_done":{"gold_performance_alerts_log":"left: Table gold_performance_alerts_log was built with' in output
    handler.maintenance({"duty": "list"}, Call([300.0]))
    capsys.readouterr()
    handler.maintenance({"duty": "list"}, Call([300.0]))
    assert _emitted(capsys, "TablesNotDone") == [1], "though landing is empty"


def test_what_no_message_told_of_was_late_by_its_age(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.put("told.ndjson", event("A", 1))
    assert call(account) == []
    account.put("lost.ndjson", event("B", 1))
    time.sleep(2)  # a store's times are those of a second
    capsys.readouterr()
    handler.maintenance({"duty": "list"}, Call([300.0]))
    late = _emitted(capsys, "LatenessSeconds")
    assert len(late) == len(FRESH) and min(late) >= 1
    handler.maintenance({"duty": "list"}, Call([300.0]))
    assert _emitted(capsys, "LatenessSeconds") == [], "nothing was landed that had waited"


def _emitted(capsys: pytest.CaptureFixture[str], name: str) -> list[float]:
    return _values(capsys.readouterr().out, name)


def _values(output: str, name: str) -> list[float]:
    lines = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return [value for line in lines if name in line for value in line[name]]


def test_the_package_says_which_code_runs_whatever_the_variable_says(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / own_settings.CODE).write_text("fedcba9876543210")
    monkeypatch.setattr(own_settings.carlake, "__file__", str(tmp_path / "carlake" / "__init__.py"))
    account.put("a.ndjson", event("A", 1))
    assert call(account) == []
    table = handler._house().catalog.load_table(f"{account.names.parameters.database}.bronze_car_data")
    assert table.current_snapshot().summary["carlake.version"].endswith("+fedcba9876543210")


def test_only_what_is_wrong_with_itself_is_soon_a_dead_letter() -> None:
    lasts = {
        fault: sum(handler.wait(fault, receives) for receives in range(1, RECEIVES))
        for fault in get_args(messages.Fault)
        if fault
    }
    assert lasts["message"] < 15 * 60, "nobody can mend it, and its alarm should ring"
    assert 3600 < lasts["object"] < 6 * 3600
    assert lasts["lake"] > 10 * 3600, "a night's fault of the whole lake makes no dead letter"
    assert lasts["time"] == 0
    assert max(handler.wait("lake", receives) for receives in range(1, RECEIVES)) <= 900, "it is over, and they come"


@pytest.mark.parametrize("fault", ["refuses", "open"])
def test_what_the_lake_is_at_fault_for_is_hidden_as_long_as_that_lasts(
    account: Account, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    held: list[tuple[str, int]] = []
    monkeypatch.setattr(handler.Queue, "hold", lambda queue, given: held.extend((m.id, s) for m, s in given))
    account.put("a.ndjson", event("A", 1))
    told = account.event()
    told["Records"] = [one for one in told["Records"] if "s3:TestEvent" not in one["body"]]
    told["Records"][0]["attributes"]["ApproximateReceiveCount"] = "6"
    handler._house()
    if fault == "refuses":
        account.proxy.faults = (Fault("status", 1.0, operations=("PutObject", "PUT"), path="warehouse-", status=403),)
    else:
        monkeypatch.setattr(run, "waiting", lambda context, table, now: Step(table, "waiting", error="it failed"))
    answer = handler.intake(told, Call([300.0]))
    account.proxy.faults = ()
    assert len(answer["batchItemFailures"]) == 1
    assert held == [(told["Records"][0]["messageId"], 900)]


def test_what_was_given_back_most_often_has_the_first_turn(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carlake.aws.messages.PART_BYTES", 1)
    for number in range(3):
        account.put(f"{number}.ndjson", event(f"CAR{number}", number))
    told = account.event()
    told["Records"] = [one for one in told["Records"] if "s3:TestEvent" not in one["body"]]
    told["Records"][2]["attributes"]["ApproximateReceiveCount"] = "7"
    answer = handler.intake(told, Call([600.0, 600.0, 20.0]))
    left = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
    assert left == [told["Records"][number]["messageId"] for number in (0, 1)]
