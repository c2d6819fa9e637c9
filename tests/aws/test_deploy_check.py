"""`carlake deploy check` against what the templates declare, the function called in process as Lambda would."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.account import signed_in
from carlake_aws.backfilling import code_of_backfill
from carlake_aws.canary import TABLES, tables
from carlake_aws.check import Check, Line
from carlake_aws.names import Names
from carlake_aws.prices import read

from aws.account import Account, Template, opened, own_parameters, renamed
from aws.deployed import CODE, athena_answers, deploy, serving
from aws.own import settings_file
from aws.test_handler import Call, _forget, event
from carlake.aws import handler
from carlake.cli.app import call
from carlake.storage.clients import forget_clients
from servers import moto
from servers.faults import Answered, Fault, Request

SEEN = dict.fromkeys(TABLES, "1")


@pytest.fixture(scope="module")
def deployed(templates: dict[str, Template], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One deployment for all tests: each leaves it as it was, which is part of what is tested."""
    # Its region is the server's.
    parameters = own_parameters().model_copy(update={"region": moto.REGION})
    own = renamed(templates, parameters)
    with moto.running() as server, opened(server, own, parameters) as account:
        deploy(account, own)
        home = str(tmp_path_factory.mktemp("home"))
        forget_clients()
        _forget()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (account.environment("intake") | {"HOME": home, "XDG_STATE_HOME": home}).items():
                patch.setenv(name, value)
            # The function knows its lake by its environment, and keeps it; who checks has to know it by the parameters.
            handler._house()
        yield account
        _forget()
        forget_clients()


@pytest.fixture(autouse=True)
def credentials(deployed: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All that who checks has in the environment, and what the function reads from its own at each call."""
    for name, value in deployed.environment("intake").items():
        if name.startswith(("POWERTOOLS", "LANDED")):
            monkeypatch.setenv(name, value)
    for name, value in deployed.server.behind(deployed.proxy.endpoint).environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def file(deployed: Account, tmp_path: Path) -> Path:
    """The deployment's parameters."""
    own, file = deployed.names.parameters, tmp_path / "parameters.toml"
    file.write_text(f'prefix = "{own.prefix}"\nenvironment = "{own.environment}"\nregion = "{own.region}"\n')
    return file


def _lines(account: Account, seconds: float = 120.0) -> dict[str, Line]:
    return {line.step: line for line in Check(account.names.parameters, seconds, 0.2).lines()}


def _called(event: dict[str, Any]) -> dict[str, Any]:
    return handler.intake(event, Call([300.0]))


def _maintained(event: dict[str, Any]) -> dict[str, Any]:
    return handler.maintenance(event, Call([300.0]))


def _wrong(lines: dict[str, Line]) -> list[str]:
    return [step for step, line in lines.items() if line.outcome == "failed"]


def _left(account: Account) -> list[str]:
    with tables(account.names) as seen:
        rows = [table for table in TABLES if seen._house.query(f"SELECT 1 FROM {table}").num_rows]
    return [*rows, *account.keys("landing", "in/"), *account.keys("archive")]


def test_all_is_well_and_nothing_of_the_event_stays(deployed: Account) -> None:
    athena_answers(deployed, SEEN)
    with serving(deployed, _called, _maintained):
        lines = _lines(deployed)
    assert {step: line for step, line in lines.items() if line.outcome != "ok"} == {}
    assert list(lines)[-5:] == ["arrive", "athena", "archive", "maintain", "remove"]
    assert CODE in lines["functions"].found
    assert _left(deployed) == []
    versions = deployed.client("s3").list_object_versions(Bucket=deployed.names.bucket("landing"))
    assert "Versions" not in versions and "DeleteMarkers" not in versions


def test_where_contracts_are_ones_own_the_event_is_removed_by_them(
    deployed: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings_file(tmp_path / "own")
    for own in (file, None):  # the second time puts things back for the other tests
        monkeypatch.setattr(handler, "file_beside_the_code", lambda own=own: own)
        _forget()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in deployed.environment("intake").items():
                patch.setenv(name, value)
            patch.setenv("XDG_STATE_HOME", str(tmp_path))
            assert handler._house().rebuild().status == "succeeded"
        if own is None:
            break
        athena_answers(deployed, SEEN)
        parameters = deployed.names.parameters.model_copy(update={"settings": str(own)})
        with serving(deployed, _called, _maintained):
            lines = {line.step: line for line in Check(parameters, 120.0, 0.2).lines()}
        assert {step: line for step, line in lines.items() if line.outcome != "ok"} == {}
    assert _left(deployed) == []


def test_athena_that_sees_other_rows_is_found_out_and_the_event_removed(deployed: Account) -> None:
    athena_answers(deployed, SEEN | {TABLES[1]: "0"})
    with serving(deployed, _called, _maintained):
        lines = _lines(deployed)
    assert _wrong(lines) == ["athena"]
    assert f"'{TABLES[1]}': '0'" in lines["athena"].found and lines["athena"].advice
    assert _left(deployed) == []


def test_a_function_that_fails_is_found_out_and_the_event_removed(deployed: Account) -> None:
    def fails(event: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("no memory")

    logs, group = deployed.client("logs"), deployed.names.log_group("intake")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    with serving(deployed, fails, _maintained):
        check = Check(deployed.names.parameters, 1.0, 0.2)
        lines = {}
        for line in check.lines():
            lines[line.step] = line
            if line.step == "land":
                said = [{"timestamp": int(check._canary.at.timestamp() * 1000) + 1, "message": "ERROR: no memory"}]
                logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=said)
    assert _wrong(lines) == ["arrive"] and lines["athena"].outcome == "not tried"
    found = lines["arrive"].found
    assert ("in the queue" in found or "a dead letter by now" in found) and "no memory" in found
    assert group in lines["arrive"].advice
    assert lines["remove"].outcome == "ok" and deployed.keys("landing", "in/") == []
    # Its message is taken again, and nothing lands of it.
    with serving(deployed, _called, _maintained):
        while deployed.count(deployed.queue_url):
            pass
    assert _left(deployed) == []


def test_maintenance_that_fails_is_found_out_and_the_event_removed(deployed: Account) -> None:
    def fails(event: dict[str, Any]) -> dict[str, Any]:
        raise PermissionError("not authorized to perform s3:PutObject")

    athena_answers(deployed, SEEN)
    with serving(deployed, _called, fails):
        lines = _lines(deployed)
    assert _wrong(lines) == ["archive"] and lines["maintain"].outcome == "not tried"
    assert "not authorized to perform s3:PutObject" in lines["archive"].found
    assert deployed.names.log_group("maintenance") in lines["archive"].advice
    assert _left(deployed) == []


def test_a_listing_that_archives_nothing_is_found_out(deployed: Account) -> None:
    athena_answers(deployed, SEEN)
    with serving(deployed, _called, lambda event: {"duty": event["duty"], "found": 1, "left": 0, "done": []}):
        lines = _lines(deployed)
    assert _wrong(lines) == ["archive"] and "still lies" in lines["archive"].found
    assert _left(deployed) == []


Restore = Callable[[], object]


def _no_notification(account: Account) -> Restore:
    s3, bucket = account.client("s3"), account.names.bucket("landing")
    before = s3.get_bucket_notification_configuration(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    kept = {"QueueConfigurations": before["QueueConfigurations"]}
    return lambda: s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=kept)


def _other_prefix(account: Account) -> Restore:
    s3, bucket = account.client("s3"), account.names.bucket("landing")
    before = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    rules = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "out/"}]}}
    other = {"QueueConfigurations": [{**before[0], "Filter": rules}]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=other)
    kept = {"QueueConfigurations": before}
    return lambda: s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=kept)


def _denied_upload(account: Account) -> Restore:
    account.proxy.faults = (Fault("status", 1.0, operations=("PutObject",), path="/in/", status=403),)
    return lambda: setattr(account.proxy, "faults", ())


def _denied_functions(account: Account) -> Restore:
    account.proxy.faults = (Fault("status", 1.0, operations=("GET",), path="^/2015-03-31/functions/", status=403),)
    return lambda: setattr(account.proxy, "faults", ())


def _disabled_key(account: Account) -> Restore:
    kms, key = account.client("kms"), account.names.key_arn.rpartition("/")[2]
    kms.disable_key(KeyId=key)
    return lambda: kms.enable_key(KeyId=key)


def _disabled_link(account: Account) -> Restore:
    functions = account.client("lambda")
    (own,) = functions.list_event_source_mappings(FunctionName=account.names.name("intake"))["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=own["UUID"], Enabled=False)
    return lambda: functions.update_event_source_mapping(UUID=own["UUID"], Enabled=True)


def _other_code(account: Account) -> Restore:
    functions, name = account.client("lambda"), account.names.name("maintenance")
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    other = {"Variables": before | {"CARLAKE_CODE": "fedcba9876543210"}}
    functions.update_function_configuration(FunctionName=name, Environment=other)
    return lambda: functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def _job_with(account: Account, given: dict[str, str] | None) -> Restore:
    """The job, made anew with these arguments, or not at all."""
    glue, name = account.client("glue"), account.names.name("backfill")
    before = glue.get_job(JobName=name)["Job"]
    kept = {key: before[key] for key in ("Name", "Role", "Command", "DefaultArguments")}

    def make(arguments: dict[str, str]) -> None:
        glue.create_job(**kept | {"DefaultArguments": arguments})

    def restore() -> None:
        if given is not None:
            glue.delete_job(JobName=name)
        make(before["DefaultArguments"])

    glue.delete_job(JobName=name)
    if given is not None:
        make(given)
    return restore


def _other_job(account: Account) -> Restore:
    return _job_with(account, {"--code": "fedcba9876543210"})


def _no_job(account: Account) -> Restore:
    return _job_with(account, None)


def _schedule_gone(account: Account) -> Restore:
    scheduler, group, name = account.client("scheduler"), account.names.parameters.name, account.names.name("list")
    before = scheduler.get_schedule(GroupName=group, Name=name)
    scheduler.delete_schedule(GroupName=group, Name=name)
    kept = {key: before[key] for key in ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    return lambda: scheduler.create_schedule(**kept)


def _no_dead_letters(account: Account) -> Restore:
    sqs, url = account.client("sqs"), account.queue_url
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    other = json.loads(before["RedrivePolicy"]) | {"deadLetterTargetArn": account.names.arn("sqs", account.names.queue)}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(other)})
    return lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


@pytest.mark.parametrize(
    ("provoke", "step", "found", "advice"),
    [
        (_no_notification, "notification", "does not tell", "carlake deploy apply"),
        (_other_prefix, "notification", "does not tell", "prefix in/"),
        (_denied_upload, "land", "PutObject", "Your credentials may not do PutObject"),
        (_denied_functions, "functions", "GetFunctionConfiguration", "Your credentials may not do"),
        (_disabled_key, "key", "Disabled", "Enable it"),
        (_disabled_link, "link", "Disabled", "update-event-source-mapping"),
        (_other_code, "functions", "fedcba9876543210", "carlake deploy apply"),
        (_other_job, "backfill", "fedcba9876543210", "carlake deploy apply"),
        (_no_job, "backfill", "GetJob", "carlake deploy apply"),
        (_schedule_gone, "schedules", "-list", "carlake deploy apply"),
        (_no_dead_letters, "queue", "no dead-letter queue", "carlake deploy apply"),
    ],
)
def test_what_is_wrong_is_a_line_of_its_own_and_the_exit_code(
    provoke: Callable[[Account], Restore],
    step: str,
    found: str,
    advice: str,
    deployed: Account,
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    restore = provoke(deployed)
    try:
        # Where the step does not stop it, the event is not waited for.
        code = call(["deploy", "check", "--parameters", str(file), "--seconds", "0", "--json"])
    finally:
        restore()
    told = json.loads(capsys.readouterr().out)
    lines = {line["step"]: line for line in told["steps"]}
    assert code == 1 and told["ok"] is False
    assert lines[step]["outcome"] == "failed" and found in lines[step]["found"] and advice in lines[step]["advice"]
    assert deployed.keys("landing", "in/") == []


def test_an_application_of_emr_serverless_is_known_by_its_environment(deployed: Account) -> None:
    names = Names(
        deployed.names.parameters.model_copy(update={"backfill": "emr-serverless"}),
        "aws",
        "123456789012",
        moto.REGION,
        "",
    )
    account = signed_in(moto.REGION)
    assert code_of_backfill(account, names) is None
    emr = deployed.client("emr-serverless")
    made = emr.create_application(name=names.name("backfill"), releaseLabel="emr-7.13.0", type="SPARK", clientToken="1")
    path = f"/applications/{made['applicationId']}"

    def answer(request: Request, body: bytes) -> Answered | None:
        """moto forgets how an application is configured."""
        if request.path != path:
            return None
        archive = f"{names.uri('code')}/packages/carlake-1.2.3-{CODE}/environment.tar.gz#environment"
        spark = {"classification": "spark-defaults", "properties": {"spark.archives": archive}}
        told = {"applicationId": made["applicationId"], "state": "CREATED", "runtimeConfiguration": [spark]}
        return {"Content-Type": "application/json"}, json.dumps({"application": told}).encode()

    deployed.proxy.instead = answer
    try:
        assert code_of_backfill(account, names) == CODE
    finally:
        deployed.proxy.instead = None


def test_without_credentials_nothing_is_tried(
    deployed: Account, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert call(["deploy", "check", "--parameters", str(file)]) == 1
    (first, *rest) = capsys.readouterr().out.splitlines()
    assert "credentials" in first and "There are no credentials of AWS" in first
    assert "aws sso login" in " ".join(rest) and "bucket" not in " ".join(rest)


def test_what_a_call_asks_of_the_services_is_what_costs_are_reckoned_with(deployed: Account) -> None:
    counted = read().lake
    found: list[Counter[str]] = []
    for number in range(4):
        deployed.put(f"{number}.ndjson", event("A", number))
        told = deployed.event()
        deployed.proxy.seen.clear()
        deployed.settle(told, handler.intake(told, Call([300.0])))
        found.append(Counter(_kind(request) for request in list(deployed.proxy.seen)))
    warm = found[-1]  # the tables are made, and what a process keeps is there
    for kind in ("call_s3_writes", "call_s3_reads", "call_glue_requests"):
        assert warm[kind] == pytest.approx(counted[kind], rel=0.2), f"prices.toml: {kind} is {warm[kind]} by now"


def _kind(request: Request) -> str:
    if "x-amz-target" in request.headers:
        return "call_glue_requests" if "Glue" in request.headers["x-amz-target"] else "queue"
    # A listing costs as much as a write; what is deleted costs nothing.
    writes = request.method in ("PUT", "POST") or request.operation.startswith("ListObject")
    return "call_s3_writes" if writes else "deleted" if request.method == "DELETE" else "call_s3_reads"
