"""The rest of a deployment on moto, beside what `account` applies: what `carlake deploy check` looks at.

Functions, their link to the queue, schedules, workgroup, key's alias: from the templates' own values, by each service's
API. moto would call a linked function itself and say that all is well, so it forgets the link, not the service's record of it.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from carlake_aws.templates import resources

from aws.account import Account, Template
from aws.filled import fill
from servers.faults import Answered
from servers.faults import Request as Asked

CODE = "0123456789abcdef"


def deploy(account: Account, templates: dict[str, Template]) -> None:
    """Apply it all."""
    _post(account, "config", {"lambda": {"use_docker": False}})
    account.client("kms").create_alias(
        AliasName=f"alias/{account.names.parameters.name}", TargetKeyId=account.names.key_arn.rpartition("/")[2]
    )
    _functions(account, templates["compute"])
    _schedules(account, templates["operations"])
    _backfill(account, templates["compute"])
    for found in resources(templates["query"], "AWS::Athena::WorkGroup").values():
        given = fill(found["Properties"], account.names)
        location = given["WorkGroupConfiguration"]["ResultConfiguration"]["OutputLocation"]
        account.client("athena").create_work_group(
            Name=given["Name"], Configuration={"ResultConfiguration": {"OutputLocation": location}}
        )


def _functions(account: Account, template: Template) -> None:
    functions, iam = account.client("lambda"), account.client("iam")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as package:
        package.writestr("none.py", "")
    for found in resources(template, "AWS::Lambda::Function").values():
        given = fill(found["Properties"], account.names, template["Resources"])
        role = iam.create_role(RoleName=f"{given['FunctionName']}-role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        functions.create_function(
            FunctionName=given["FunctionName"],
            Runtime=given["Runtime"],
            Handler=given["Handler"],
            Role=role,
            Timeout=given["Timeout"],
            MemorySize=given["MemorySize"],
            Environment={"Variables": given["Environment"]["Variables"] | {"CARLAKE_CODE": CODE}},
            Code={"ZipFile": code.getvalue()},
        )
    for found in resources(template, "AWS::Lambda::EventSourceMapping").values():
        given = fill(found["Properties"], account.names, template["Resources"])
        functions.create_event_source_mapping(
            FunctionName=account.names.name("intake"),
            EventSourceArn=given["EventSourceArn"],
            BatchSize=10,
            Enabled=True,
        )
    _forget_link(account)


def _forget_link(account: Account) -> None:
    sqs, url = account.client("sqs"), account.queue_url
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    kept = ("VisibilityTimeout", "MessageRetentionPeriod", "KmsMasterKeyId", "RedrivePolicy")
    sqs.delete_queue(QueueUrl=url)
    sqs.create_queue(QueueName=account.names.queue, Attributes={name: told[name] for name in kept})


def _backfill(account: Account, template: Template) -> None:
    for found in resources(template, "AWS::Glue::Job").values():
        given = fill(found["Properties"], account.names, template["Resources"])
        assert isinstance(given["DefaultArguments"]["--code"], str)
        account.client("glue").create_job(
            Name=given["Name"],
            Role=account.names.role_arn("backfill"),
            Command={"Name": given["Command"]["Name"], "ScriptLocation": str(given["Command"]["ScriptLocation"])},
            DefaultArguments={"--code": CODE},
        )


def _schedules(account: Account, template: Template) -> None:
    scheduler = account.client("scheduler")
    group = account.names.parameters.name
    scheduler.create_schedule_group(Name=group)
    for found in resources(template, "AWS::Scheduler::Schedule").values():
        given = fill(found["Properties"], account.names, template["Resources"])
        scheduler.create_schedule(
            Name=given["Name"],
            GroupName=group,
            ScheduleExpression=given["ScheduleExpression"],
            FlexibleTimeWindow={"Mode": "OFF"},
            State=given.get("State", "ENABLED"),
            Target={"Arn": account.names.arn("lambda", "function:any"), "RoleArn": account.names.role_arn("schedules")},
        )


def athena_answers(account: Account, rows: dict[str, str]) -> None:
    """What the next query gets: moto runs none. As Athena writes it, the names of the columns first."""
    data = [("table_name", "row_count"), *rows.items()]
    result = {"rows": [{"Data": [{"VarCharValue": cell} for cell in row]} for row in data], "column_info": []}
    _post(account, "static/athena/query-results", {"results": [result], "region": account.names.region})


Handler = Callable[[dict[str, Any]], dict[str, Any]]


@contextmanager
def serving(account: Account, intake: Handler, maintenance: Handler) -> Iterator[None]:
    """Within, messages of the queue are taken to `intake`, as Lambda takes them; what it gives back stays. Who calls the
    function of maintenance is answered by `maintenance`. One call at a time: both are in this process.
    """
    over, turn = threading.Event(), threading.Lock()

    def serve() -> None:
        while not over.is_set():
            with turn:
                event = account.event()
                if event["Records"]:
                    try:
                        account.settle(event, intake(event))
                    except Exception:  # noqa: BLE001  (as the service does: the messages come again)
                        account.show(event)
            over.wait(0.2)

    def answer(event: dict[str, Any]) -> dict[str, Any]:
        with turn:
            return maintenance(event)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with answering(account, answer):
            yield
    finally:
        over.set()
        thread.join()


@contextmanager
def answering(account: Account, maintenance: Handler) -> Iterator[None]:
    """Within, who calls the function of maintenance is answered by `maintenance`, in the way that Lambda answers."""
    path = f"/2015-03-31/functions/{account.names.name('maintenance')}/invocations"

    def answer(request: Asked, body: bytes) -> Answered | None:
        if request.path != path:
            return None
        try:
            return {"X-Amz-Executed-Version": "$LATEST"}, json.dumps(maintenance(json.loads(body))).encode()
        except Exception as error:  # noqa: BLE001  (as the runtime does)
            told = {"errorMessage": str(error), "errorType": type(error).__name__}
            return {"X-Amz-Function-Error": "Unhandled"}, json.dumps(told).encode()

    account.proxy.instead = answer
    try:
        yield
    finally:
        account.proxy.instead = None


def _post(account: Account, path: str, body: dict[str, Any]) -> None:
    asked = Request(
        f"{account.server.endpoint}/moto-api/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    with urlopen(asked, timeout=30) as answer:
        assert answer.status < 300
