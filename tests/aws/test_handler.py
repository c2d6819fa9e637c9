"""The event path on moto: an object lands, S3 tells the queue, the function is called, the tables are right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.names import RECEIVES
from carlake_aws.questions import FRESH
from carlake_aws.templates import resources

from aws.account import Account, Template, opened, own_parameters, renamed
from aws.filled import fill
from aws.own import ping, settings_file
from carlake.aws import handler, pseudonym_key
from carlake.errors import SettingsError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.storage.clients import forget_clients
from lakes import nested
from servers import moto
from servers.faults import Fault


@dataclass
class Call:
    """A call, as Lambda tells of it; `left` holds what the answers to "how much time is there?" will be, the last for good."""

    left: list[float]
    aws_request_id: str = "call-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self.left.pop(0) if len(self.left) > 1 else self.left[0]))


@pytest.fixture(scope="session")
def server() -> Iterator[moto.Server]:
    with moto.running() as found:
        yield found


@pytest.fixture
def account(
    server: moto.Server, templates: dict[str, Template], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Account]:
    parameters = own_parameters()
    with opened(server, renamed(templates, parameters), parameters) as found:
        for name, value in found.environment("intake").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        forget_clients()
        _forget()
        yield found
        _forget()
        forget_clients()


def _forget() -> None:
    if handler._house.cache_info().currsize:
        handler._house().close()
    for kept in (handler._house, handler._queue, handler._log, handler._tracer):
        kept.cache_clear()


def call(account: Account, seconds: float = 300.0) -> list[str]:
    """One call with what the queue has; the messages that are given back."""
    event = account.event()
    answer = handler.intake(event, Call([seconds]))
    account.settle(event, answer)
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def ask(account: Account, sql: str) -> list[dict[str, Any]]:
    with Lakehouse.open(account.functions["intake"]["CARLAKE_LAKE"], Settings.load()) as house:
        return house.query(sql).to_pylist()


def cars(account: Account) -> list[tuple[str, float]]:
    rows = ask(account, "SELECT car_chassis, current_mileage_km FROM gold_car_current_state ORDER BY car_chassis")
    return [(row["car_chassis"], row["current_mileage_km"]) for row in rows]


def event(car: str, number: int) -> str:
    at = f"2025-10-01T10:{number:02}:00Z"
    return nested(car, f"{car}-{number}", at, at, current_mileage_km=1000.0 + number, manufacturer="Ford")


def test_what_lands_is_in_gold_and_its_messages_are_done_with(
    account: Account, templates: dict[str, Template], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(account) == [], "S3's own test message is no event"
    account.put("a b+c.ndjson", event("A", 1), event("B", 1))
    account.put("later.ndjson", event("A", 2))
    account.put("elsewhere.ndjson", event("C", 1), prefix="out/")
    capsys.readouterr()
    assert call(account) == []
    assert cars(account) == [("A", 1002.0), ("B", 1001.0)]
    assert account.count(account.queue_url) == 0
    assert len(account.keys("landing", "in/")) == 2 and account.keys("archive") == [], "intake takes nothing away"
    versions = ask(account, "SELECT DISTINCT trigger FROM ops_runs")
    assert versions == [{"trigger": "watch"}]
    told = capsys.readouterr().out
    assert moto.SECRET not in told and '"run_id"' in told
    _metrics_are_those_of_the_alarms(told, account, templates)


def _metrics_are_those_of_the_alarms(output: str, account: Account, templates: dict[str, Template]) -> None:
    emitted = set()
    for line in output.splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        for group in told.get("_aws", {}).get("CloudWatchMetrics", ()):
            for names in group["Dimensions"]:
                dimensions = tuple(sorted((name, told[name]) for name in names))
                emitted |= {(group["Namespace"], metric["Name"], dimensions) for metric in group["Metrics"]}
    watched = set()
    for found in resources(
        renamed(templates, account.names.parameters)["operations"], "AWS::CloudWatch::Alarm"
    ).values():
        alarm = fill(found["Properties"], account.names)
        alone = {"Namespace": alarm.get("Namespace"), "MetricName": alarm.get("MetricName")}
        alone["Dimensions"] = alarm.get("Dimensions", [])
        metrics = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", ()) if "MetricStat" in one] or [alone]
        for metric in metrics:
            if metric["Namespace"] == "carlake":
                dimensions = tuple(sorted((one["Name"], one["Value"]) for one in metric["Dimensions"]))
                watched.add((metric["Namespace"], metric["MetricName"], dimensions))
    assert len(watched) == 5 + len(FRESH)
    assert watched <= emitted


def test_each_snapshot_says_which_code_wrote_it(account: Account) -> None:
    account.put("a.ndjson", event("A", 1))
    assert call(account) == []
    with Lakehouse.open(account.functions["intake"]["CARLAKE_LAKE"], Settings.load()) as house:
        for name in ("bronze_car_data", "silver_car_telemetry", "gold_car_current_state"):
            table = house.catalog.load_table(f"{account.names.parameters.database}.{name}")
            summary = table.current_snapshot().summary
            assert summary["carlake.version"].endswith("+0123456789abcdef")


def test_settings_come_with_the_code_and_then_from_the_lake(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake = account.functions["intake"]["CARLAKE_LAKE"]
    account.put("before.ndjson", event("A", 1), ping("P", 10.0))
    assert call(account) == []
    assert cars(account) == [("A", 1001.0)]
    file = settings_file(tmp_path / "own")
    monkeypatch.setattr(handler, "file_beside_the_code", lambda: file)
    bucket, _, key = f"{lake.removeprefix('s3://')}/carlake.toml".partition("/")
    s3 = account.client("s3")
    text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    own = 'max_record_bytes = "1 MiB"\ncontracts_off = ["car_snapshot"]\n'
    s3.put_object(Bucket=bucket, Key=key, Body=(own + text).encode())
    _forget()
    settings = handler._house().settings
    assert settings.max_record_bytes == 65_536, "what came with the code goes before the lake's own"
    assert settings.contracts_off == ("car_snapshot",)
    account.put("after.ndjson", ping("Q", 20.0))
    assert call(account) == []
    assert cars(account) == [("A", 1001.0)], "another definition waits until somebody adopts it"
    handler._house().rebuild()
    assert cars(account) == [("A", 1001.0), ("P", 10.0), ("Q", 20.0)]


def test_personal_data_is_landed_under_the_key_of_a_secret(
    account: Account, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = "4f" * 32
    secret = account.client("secretsmanager").create_secret(Name=account.names.name("key"), SecretString=key)["ARN"]
    monkeypatch.setenv(pseudonym_key.VARIABLE, secret)
    account.put("a.ndjson", event("A-PERSON", 1))
    assert call(account) == []
    ((car, km),) = cars(account)
    assert km == 1001.0 and car.startswith("p_") and "A-PERSON" not in car
    assert handler._house().identities("A-PERSON")[0] == car
    assert key not in capfd.readouterr().out
    file = pseudonym_key.key_file(secret)
    assert file.stat().st_mode & 0o077 == 0 or file.parent.stat().st_mode & 0o077 == 0


def test_a_secret_that_cannot_be_read_is_named_and_nothing_lands_in_clear(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = f"arn:aws:secretsmanager:{moto.REGION}:123456789012:secret:gone-AbCdEf"
    monkeypatch.setenv(pseudonym_key.VARIABLE, gone)
    account.put("a.ndjson", event("A", 1))
    taken = account.event()
    with pytest.raises(SettingsError, match="gone-AbCdEf"):
        handler.intake(taken, Call([300.0]))
    monkeypatch.delenv(pseudonym_key.VARIABLE)
    assert account.keys("warehouse") == [], "not even a lake is made"
    empty = account.client("secretsmanager").create_secret(Name=account.names.name("b"), SecretBinary=b"x")["ARN"]
    with pytest.raises(SettingsError, match="holds no text"):
        pseudonym_key.key_file(empty)


def test_the_same_twice_and_out_of_order_counts_once(account: Account) -> None:
    account.put("2.ndjson", event("A", 2))
    assert call(account) == []
    account.put("again/2.ndjson", event("A", 2))
    account.put("1.ndjson", event("A", 1))
    event_of_both = account.event()
    answer = handler.intake(event_of_both, Call([300.0]))
    assert answer == {"batchItemFailures": []}
    # The service may call twice with the same messages.
    assert handler.intake(event_of_both, Call([300.0])) == {"batchItemFailures": []}
    assert cars(account) == [("A", 1002.0)]
    assert ask(account, "SELECT count(*) AS n FROM silver_car_telemetry") == [{"n": 2}]


def test_poison_ends_as_a_dead_letter_and_holds_up_nothing(account: Account) -> None:
    account.client("sqs").send_message(QueueUrl=account.queue_url, MessageBody="no event at all")
    account.put("a.ndjson", event("A", 1))
    told = account.event()
    answer = handler.intake(told, Call([300.0]))
    account.settle(told, answer)
    (kept,) = answer["batchItemFailures"]
    assert cars(account) == [("A", 1001.0)]
    poison = {"Records": [record for record in told["Records"] if record["messageId"] == kept["itemIdentifier"]]}
    for _ in range(RECEIVES - 1):
        assert account.event()["Records"] == [], "it comes again, but not at once"
        account.show(poison)
        poison = account.event()
        assert handler.intake(poison, Call([300.0])) == {"batchItemFailures": [kept]}
    account.show(poison)
    assert account.event()["Records"] == []
    (dead,) = account.client("sqs").receive_message(QueueUrl=account.dead_url)["Messages"]
    assert dead["Body"] == "no event at all"
    assert account.count(account.queue_url) == 0


def test_where_time_runs_out_the_rest_is_given_back_at_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carlake.aws.messages.PART_BYTES", 1)
    for number in range(3):
        account.put(f"{number}.ndjson", event("A", number))
    told = account.event()
    messages = [one for one in told["Records"] if "s3:TestEvent" not in one["body"]]
    told["Records"] = messages
    # Of ten minutes: time for a first part, and then none.
    answer = handler.intake(told, Call([600.0, 600.0, 20.0]))
    account.settle(told, answer)
    assert len(answer["batchItemFailures"]) == 2
    assert ask(account, "SELECT count(*) AS n FROM silver_car_telemetry") == [{"n": 1}]
    again = account.event()
    assert len(again["Records"]) == 2, "they need not wait for the queue's timeout"
    account.settle(again, handler.intake(again, Call([600.0])))
    assert cars(account) == [("A", 1002.0)]


def test_a_lake_that_cannot_be_opened_gives_all_back_soon(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.put("a.ndjson", event("A", 1))
    told = account.event()
    monkeypatch.setenv("CARLAKE_CATALOG", "nonsense")
    with pytest.raises(Exception, match="nonsense"):
        handler.intake(told, Call([300.0]))
    monkeypatch.setenv("CARLAKE_CATALOG", "glue")
    assert handler.intake(told, Call([300.0])) == {"batchItemFailures": []}
    assert cars(account) == [("A", 1001.0)]


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("pad", [0, 1_200_000], ids=["small", "large"])
def test_two_versions_of_one_object_in_one_call_are_both_landed(account: Account, pad: int, turned: bool) -> None:
    s3, bucket = account.client("s3"), account.names.bucket("landing")
    account.event()  # S3's own test message
    ids = []
    for car in ("A", "B"):
        body = json.dumps({**json.loads(event(car, 1)), "pad": car * pad}).encode()
        ids.append(s3.put_object(Bucket=bucket, Key="in/x.ndjson", Body=body)["VersionId"])
    told = account.event()
    for record, version in zip(told["Records"], ids, strict=True):
        body = json.loads(record["body"])
        body["Records"][0]["s3"]["object"]["versionId"] = version  # as S3 writes it; moto leaves it out
        record["body"] = json.dumps(body)
    if turned:
        told["Records"].reverse()
    answer = handler.intake(told, Call([300.0]))
    account.settle(told, answer)
    assert answer == {"batchItemFailures": []}
    assert cars(account) == [("A", 1001.0), ("B", 1001.0)]
    assert len(ask(account, "SELECT DISTINCT source_id FROM bronze_car_data")) == 2


def test_names_that_are_hidden_or_still_being_written_are_passed_over(account: Account) -> None:
    for name in ("_temporary/0/part-0.ndjson", ".x.json", "y.json.tmp", "z.json.part", ".carlake-try-00"):
        account.put(name, event("A", 1))
    account.put("day/good.ndjson", event("B", 1))
    assert call(account) == []
    assert handler.maintenance({"duty": "list"}, Call([300.0]))["found"] == 1
    assert cars(account) == [("B", 1001.0)]
    assert account.count(account.queue_url) == 0


def test_where_a_marker_says_what_is_whole_nothing_lands_before_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARLAKE_WHOLE_WHEN", "marker")
    account.put("a.ndjson", event("A", 1))
    account.put("day/b.ndjson", event("B", 1))
    assert call(account) == [] and account.count(account.queue_url) == 0
    assert ask(account, "SELECT 1 FROM bronze_car_data") == []
    account.put("a.ndjson.ready")
    assert call(account) == [] and cars(account) == [("A", 1001.0)]
    account.put("day/_SUCCESS")
    assert call(account) == []
    assert handler.maintenance({"duty": "list"}, Call([300.0]))["found"] == 2, "the listing sees to folders"
    assert cars(account) == [("A", 1001.0), ("B", 1001.0)]


def test_the_listing_names_what_it_could_not_take(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    s3, bucket = account.client("s3"), account.names.bucket("landing")
    s3.put_object(Bucket=bucket, Key="in/a//b.json", Body=event("A", 1).encode())
    call(account)
    capsys.readouterr()
    done = handler.maintenance({"duty": "list"}, Call([300.0]))
    assert (done["found"], done["left"], done["unreadable"]) == (0, 0, 1)
    assert "a//b.json" in capsys.readouterr().out
    assert "a//b.json" in str(ask(account, "SELECT error FROM ops_runs WHERE error IS NOT NULL"))


def test_a_landing_that_may_not_be_listed_is_no_empty_one(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.put("a.ndjson", event("A", 1))
    handler._house()
    denied = Fault("status", 1.0, operations=("ListObjectsV2", "GET"), path="landing-", status=403)
    account.proxy.faults = (denied,)
    capsys.readouterr()
    done = handler.maintenance({"duty": "list"}, Call([300.0]))
    account.proxy.faults = ()
    assert done["found"] == 0 and done["unreadable"] == 1
    assert "denied" in capsys.readouterr().out.lower()


def test_the_listing_lands_what_no_message_told_of_and_archives_the_rest(account: Account) -> None:
    account.put("told.ndjson", event("A", 1))
    assert call(account) == []
    account.put("lost.ndjson", event("B", 1))
    done = handler.maintenance({"duty": "list", "seconds": 1}, Call([300.0]))
    assert done == {"duty": "list", "found": 2, "left": 2, "unreadable": 0}, (
        "it ends when it was asked to, whatever its own limit is"
    )
    done = handler.maintenance({"duty": "list"}, Call([300.0]))
    assert done == {"duty": "list", "found": 2, "left": 0, "unreadable": 0}
    assert cars(account) == [("A", 1001.0), ("B", 1001.0)]
    assert account.keys("landing", "in/") == [] and len(account.keys("archive")) == 2


def test_objects_that_cannot_be_read_keep_no_others_from_the_listing(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though there is never time for more than one of them."""
    monkeypatch.setattr(handler, "_OBJECTS_AT_ONCE", 1)
    monkeypatch.setattr(handler.Budget, "allows_more", lambda budget: budget._longest == 0)
    for number, name in enumerate("abc"):
        account.put(f"{name}.ndjson", event(name.upper(), number))
    handler._house()
    account.proxy.faults = (Fault("status", 1.0, operations=("GetObject", "GET"), path="a.ndjson", status=403),)
    for _ in range(60):  # one in 10 to the 10 that it never comes to the third
        left = handler.maintenance({"duty": "list"}, Call([300.0]))["found"]
        if left == 1:
            break
    account.proxy.faults = ()
    assert left == 1 and cars(account) == [("B", 1001.0), ("C", 1002.0)]
    handler.maintenance({"duty": "list"}, Call([300.0]))
    assert [car for car, _ in cars(account)] == ["A", "B", "C"]


def test_the_other_duties(account: Account) -> None:
    account.put("a.ndjson", event("A", 1))
    assert call(account) == []
    assert handler.maintenance({"duty": "refresh"}, Call([300.0])) == {"duty": "refresh", "status": "succeeded"}
    done = handler.maintenance({"duty": "maintain"}, Call([300.0]))
    assert done["busy"] is False and not [one for one in done["done"] if one["error"]]
    with pytest.raises(Exception, match="no duty 'sleep'"):
        handler.maintenance({"duty": "sleep"}, Call([300.0]))
