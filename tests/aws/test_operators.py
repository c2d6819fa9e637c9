"""The role of people who check and mend: `carlake deploy check` and `carlake recover`, each call of theirs put to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from carlake_aws.canary import TABLES
from carlake_aws.check import Check
from carlake_aws.duties import OPERATE, statements
from carlake_aws.names import Names

from aws.account import Account, Template, opened, own_parameters, renamed
from aws.deployed import answering, athena_answers, deploy
from aws.evaluated import allows
from aws.recorded import Asked, asked
from aws.test_handler import Call, _forget, event
from carlake.aws import handler
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.storage.clients import forget_clients
from servers import moto

Flows = tuple[Names, set[Asked]]


@pytest.fixture(scope="module")
def flows(templates: dict[str, Template], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flows]:
    """What both flows asked, and the names of the deployment that they ran in."""
    parameters = own_parameters().model_copy(update={"region": moto.REGION})
    own = renamed(templates, parameters)
    with moto.running() as server, opened(server, own, parameters) as account, pytest.MonkeyPatch.context() as patch:
        deploy(account, own)
        home = str(tmp_path_factory.mktemp("home"))
        for name, value in (account.environment("intake") | {"HOME": home, "XDG_STATE_HOME": home}).items():
            patch.setenv(name, value)
        forget_clients()
        _forget()
        found = _recover(account) | _check(account)
        _forget()
        forget_clients()
        yield account.names, found


def _check(account: Account) -> set[Asked]:
    """A check. What the function does meanwhile is another's: it is left out of the record."""
    athena_answers(account, dict.fromkeys(TABLES, "1"))
    lines = []
    with answering(account, partial(_maintenance, account)):
        for line in Check(account.names.parameters, 60.0, 0.1).lines():
            lines.append(line)
            if line.step == "land":
                _function(account)
    assert {line.step: line for line in lines if line.outcome != "ok"} == {}
    return asked(account.proxy.seen, account.names)


def _function(account: Account) -> None:
    before = len(account.proxy.seen)
    told = account.event()
    account.settle(told, handler.intake(told, Call([300.0])))
    del account.proxy.seen[before:]


def _maintenance(account: Account, told: dict[str, Any]) -> dict[str, Any]:
    before = len(account.proxy.seen)
    answer = handler.maintenance(told, Call([300.0]))
    del account.proxy.seen[before:]
    return answer


def _recover(account: Account) -> set[Asked]:
    """Metadata of a gold table is gone, and a data file of silver is cut short; something waits in landing."""
    account.put("a.ndjson", event("A", 1), event("B", 1))
    _function(account)
    account.put("waits.ndjson", event("C", 1))
    s3, glue = account.client("s3"), account.client("glue")
    bucket, database = account.names.bucket("warehouse"), account.names.parameters.database
    told = glue.get_table(DatabaseName=database, Name="gold_car_current_state")["Table"]["Parameters"]
    s3.delete_object(Bucket=bucket, Key=told["metadata_location"].removeprefix(f"s3://{bucket}/"))
    (data, *_) = [key for key in account.keys("warehouse") if "/silver_car_telemetry/data/" in key]
    s3.put_object(Bucket=bucket, Key=data, Body=b"PAR1")
    _forget()
    forget_clients()
    account.proxy.seen.clear()
    recovery = Lakehouse.recover(account.functions["intake"]["CARLAKE_LAKE"], Settings.load())
    calls = asked(account.proxy.seen, account.names)
    assert recovery.ok and {step.action for step in recovery.steps} >= {"point", "remake"}
    with Lakehouse.open(account.functions["intake"]["CARLAKE_LAKE"], Settings.load()) as house:
        cars = house.query("SELECT car_chassis FROM gold_car_current_state ORDER BY ALL").to_pylist()
    assert [row["car_chassis"] for row in cars] == ["A", "B", "C"]
    return calls


def test_every_call_is_allowed_and_every_right_is_used_or_says_why(flows: Flows) -> None:
    names, calls = flows
    own = statements(OPERATE, names)
    assert sorted(call for call in calls if not allows(own, call, names)) == []
    used = {
        (one.sid, call.action)
        for one in own
        for call in calls
        if call.action in one.actions and allows([one], call, names)
    }
    idle = {(one.sid, action) for one in own for action in one.actions if action not in one.unused} - used
    claimed = {(one.sid, action) for one in own for action in one.unused} & used
    assert (idle, claimed) == (set(), set())


def test_no_statement_can_go_unseen(flows: Flows) -> None:
    names, calls = flows
    own = statements(OPERATE, names)
    for one in own:
        rest = [other for other in own if other is not one]
        missed = [call for call in calls if not allows(rest, call, names)]
        assert bool(missed) != (set(one.actions) <= set(one.unused)), one.sid


def test_of_the_archive_it_takes_away_nothing_but_the_checks_own(names: Names) -> None:
    own = statements(OPERATE, names)
    archive = names.bucket_arn("archive")
    theirs = Asked("s3:DeleteObjectVersion", f"{archive}/2025-01-01/abc/events.ndjson")
    canary = Asked("s3:DeleteObjectVersion", f"{archive}/2025-01-01/abc/CARLAKE-CHECK-0123.json")
    assert not allows(own, theirs, names) and allows(own, canary, names)
