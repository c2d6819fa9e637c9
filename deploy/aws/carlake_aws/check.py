"""`carlake deploy check`: each part looked at, and each path gone by one event, with the credentials of whoever asks.

Every step says that it is well, or what is wrong and what to do; a step that cannot be tried since another failed says so.
Whatever happens, the event is removed again, and looked for afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from carlake.errors import CarlakeError
from carlake_aws.account import Account, signed_in
from carlake_aws.backfilling import code_of_backfill
from carlake_aws.canary import Canary, Tables, tables, take_back
from carlake_aws.duties import BACKFILL, INTAKE, MAINTENANCE
from carlake_aws.errors import DeployError
from carlake_aws.names import BUCKETS, Names
from carlake_aws.parameters import Parameters

Outcome = Literal["ok", "failed", "not tried"]
Step = Callable[[], str]

SECONDS = 120.0
"""How long the event may be on its way."""
_BETWEEN = 1.0
_ATHENA_SECONDS = 60.0
_MAINTENANCE_SECONDS = 30.0


@dataclass(frozen=True)
class Line:
    """One step. found: what is there, or what is wrong; advice: what to do about it."""

    step: str
    outcome: Outcome
    found: str
    advice: str = ""


class WrongError(DeployError):
    """What a step found wrong, and what to do."""


class Check:
    """One check. `lines` yields each step as it is done."""

    def __init__(self, parameters: Parameters, seconds: float = SECONDS, between: float = _BETWEEN) -> None:
        self._parameters, self._seconds, self._between = parameters, seconds, between
        self._failed: set[str] = set()
        self._canary = Canary.new()
        self._dead_before = 0
        self._queue = self._dead = self._code = ""
        self._landed = False

    def lines(self) -> Iterator[Line]:
        """Every step in order. Never raises for what is wrong with the deployment."""
        yield (line := self._tried("credentials", self._sign_in))
        if line.outcome != "ok":
            return
        yield self._tried("key", self._look_at_key)
        yield self._tried("buckets", self._look_at_buckets)
        yield self._tried("notification", self._look_at_notification, "buckets")
        yield self._tried("queue", self._look_at_queue)
        yield self._tried("functions", self._look_at_functions)
        yield self._tried("link", self._look_at_link, "functions", "queue")
        yield self._tried("schedules", self._look_at_schedules)
        yield self._tried("workgroup", self._look_at_workgroup)
        if self._parameters.runs_spark:
            yield self._tried("backfill", self._look_at_backfill, "functions")
        with ExitStack() as stack:
            opened: list[Tables] = []

            def open_tables() -> str:
                opened.append(stack.enter_context(tables(self._names)))
                return f"{len(opened[0].rows(self._canary))} tables in {self._parameters.database}"

            # Where the way is known to be broken, nobody has to wait to see it.
            yield self._tried("land", self._land, "key", "buckets", "notification", "queue", "functions", "link")
            arrives = self._tried("arrive", lambda: self._arrive(open_tables, opened), "land")
            yield arrives
            yield self._tried("athena", lambda: self._ask_athena(opened), "arrive", "workgroup")
            yield self._tried("archive", self._archive, "arrive", "functions")
            yield self._tried("maintain", self._maintain, "archive")
            if self._landed:
                yield self._tried("remove", lambda: self._remove(opened, open_tables))

    # -- each part -----------------------------------------------------------------------------------------------------

    def _sign_in(self) -> str:
        self._account: Account = signed_in(self._parameters.region)
        self._names: Names = self._account.names(self._parameters)
        return f"{self._account.caller}, account {self._account.number}, {self._account.region}"

    def _look_at_key(self) -> str:
        asked = self._parameters.existing_key or f"alias/{self._parameters.name}"
        found = self._account.client("kms").describe_key(KeyId=asked)["KeyMetadata"]
        if found["KeyState"] != "Enabled":
            raise WrongError(
                f"The key {found['Arn']} is {found['KeyState']}.", "Enable it: nothing can be read without."
            )
        return str(found["Arn"])

    def _look_at_buckets(self) -> str:
        s3 = self._account.client("s3")
        for kind in BUCKETS:
            s3.head_bucket(Bucket=self._names.bucket(kind))
        return f"{len(BUCKETS)}: {', '.join(BUCKETS)}"

    def _look_at_notification(self) -> str:
        bucket, queue = self._names.bucket("landing"), self._names.arn("sqs", self._names.queue)
        landing = self._names.landing
        found = self._account.client("s3").get_bucket_notification_configuration(Bucket=bucket)
        for one in found.get("QueueConfigurations", ()):
            rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
            prefixes = [rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"]
            told = one["QueueArn"] == queue and any(event.startswith("s3:ObjectCreated:") for event in one["Events"])
            if told and all(landing.startswith(prefix) for prefix in prefixes):
                return f"{bucket} tells {self._names.queue} of what lands below {landing}"
        raise WrongError(
            f"{bucket} does not tell {self._names.queue} of objects that land below {landing}.",
            "`carlake deploy apply` sets it. For a bucket that was there before: events s3:ObjectCreated:*, prefix "
            f"{landing}, to {queue}, by hand.",
        )

    def _look_at_queue(self) -> str:
        sqs = self._account.client("sqs")
        self._queue = sqs.get_queue_url(QueueName=self._names.queue)["QueueUrl"]
        self._dead = sqs.get_queue_url(QueueName=self._names.dead_letters)["QueueUrl"]
        given = sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["All"])["Attributes"]
        redrive = json.loads(given.get("RedrivePolicy", "{}"))
        if redrive.get("deadLetterTargetArn") != self._names.arn("sqs", self._names.dead_letters):
            raise WrongError(
                f"{self._names.queue} has no dead-letter queue {self._names.dead_letters}: a message that always fails "
                "would go round for ever.",
                "`carlake deploy apply` sets it.",
            )
        self._dead_before = self._count(self._dead)
        waiting = self._count(self._queue)
        return f"{waiting} waiting, {self._dead_before} dead" + (
            ": see the runbook, dead letters" if self._dead_before else ""
        )

    def _look_at_functions(self) -> str:
        codes = {}
        for duty in (INTAKE, MAINTENANCE):
            name = self._names.name(duty)
            found = self._account.client("lambda").get_function_configuration(FunctionName=name)
            if found.get("State", "Active") not in ("Active", "Inactive") or found.get("LastUpdateStatus") == "Failed":
                why = found.get("StateReason") or found.get("LastUpdateStatusReason") or "AWS does not say why"
                raise WrongError(f"{name} is {found.get('State')}: {why}.", "`carlake deploy apply` makes it again.")
            codes[duty] = found.get("Environment", {}).get("Variables", {}).get("CARLAKE_CODE", "")
        if len(set(codes.values())) != 1:
            raise WrongError(f"The functions run different code: {codes}.", "`carlake deploy apply` makes them one.")
        self._code = codes[INTAKE]
        return f"both run code {self._code}"

    def _look_at_backfill(self) -> str:
        name = self._names.name(BACKFILL)
        code = code_of_backfill(self._account, self._names)
        if code is None:
            raise WrongError(f"{name} is not there.", "`carlake deploy apply` makes it.")
        if code != self._code:
            raise WrongError(
                f"{name} runs code {code or 'of no name'}, the functions run {self._code}.",
                "`carlake deploy apply` makes them one.",
            )
        return f"{name} ({self._parameters.backfill}) runs code {code}; it is not started, since that costs"

    def _look_at_link(self) -> str:
        name = self._names.name(INTAKE)
        found = self._account.client("lambda").list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        own = [one for one in found if one["EventSourceArn"] == self._names.arn("sqs", self._names.queue)]
        if not own or own[0].get("State", "Enabled") not in ("Enabled", "Enabling", "Updating"):
            state = own[0].get("State") if own else "not there"
            raise WrongError(
                f"The link from {self._names.queue} to {name} is {state}: nothing calls the function.",
                f"Enable it: aws lambda update-event-source-mapping --uuid {own[0]['UUID']} --enabled"
                if own
                else "`carlake deploy apply` makes it.",
            )
        return f"{self._names.queue} calls {name}"

    def _look_at_schedules(self) -> str:
        group = self._parameters.name
        found = self._account.client("scheduler").list_schedules(GroupName=group)["Schedules"]
        states = {one["Name"]: one["State"] for one in found}
        wanted = [self._names.name(what) for what in ("list", "maintain", "refresh")]
        if missing := [name for name in wanted if states.get(name) != "ENABLED"]:
            raise WrongError(
                f"Schedules that do not run: {', '.join(missing)}.", "`carlake deploy apply` makes and enables them."
            )
        return ", ".join(wanted)

    def _look_at_workgroup(self) -> str:
        found = self._account.client("athena").get_work_group(WorkGroup=self._parameters.name)["WorkGroup"]
        if found.get("State", "ENABLED") != "ENABLED":
            raise WrongError(f"The workgroup {self._parameters.name} is {found['State']}.", "Enable it.")
        return f"{self._parameters.name}, results in {self._names.uri('results')}"

    # -- one event, all the way ----------------------------------------------------------------------------------------

    def _land(self) -> str:
        bucket = self._names.bucket("landing")
        key = self._canary.key(self._names)
        self._account.client("s3").put_object(Bucket=bucket, Key=key, Body=self._canary.body)
        self._landed = True
        return f"s3://{bucket}/{key}"

    def _arrive(self, open_tables: Step, opened: list[Tables]) -> str:
        """Wait until every table has it: a lake that is new is made by the first call, so it is opened here."""
        started, last = time.monotonic(), "no table has it"
        while True:
            try:
                if not opened:
                    open_tables()
                rows = opened[0].rows(self._canary)
                if all(rows.values()):
                    return f"in all {len(rows)} tables within {time.monotonic() - started:.0f} s"
                last = f"rows: {', '.join(f'{table} {count}' for table, count in rows.items())}"
            except CarlakeError as error:
                last = error.what
            if time.monotonic() - started > self._seconds:
                break
            time.sleep(self._between)
        raise self._lost(last)

    def _lost(self, last: str) -> WrongError:
        """Where the event is, as far as queues and logs tell."""
        what = f"The event is not in every table after {self._seconds:.0f} s ({last})."
        if self._count(self._dead) > self._dead_before:
            where = "Its message is a dead letter by now: the function failed each time"
        elif waiting := self._count(self._queue):
            where = f"{waiting} messages are in the queue: the function fails, is throttled, or is not called"
        else:
            where = "The queue is empty, so the message was taken, or never came"
        said = self._said()
        return WrongError(
            f"{what} {where}." + (f" The function says: {said}" if said else ""),
            f"Read its log, {self._names.log_group(INTAKE)}; `carlake doctor` says what is wrong with the tables.",
        )

    def _said(self) -> str:
        """The newest error of the function since the event landed; "" where there is none, or none may be read."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._account.client("logs").filter_log_events(
                logGroupName=self._names.log_group(INTAKE),
                startTime=int(self._canary.at.timestamp() * 1000),
                filterPattern="?ERROR ?error ?Exception",
            )["events"]
        except (BotoCoreError, ClientError):
            return ""
        return " ".join(str(found[-1]["message"]).split())[:500] if found else ""

    def _ask_athena(self, opened: list[Tables]) -> str:
        athena = self._account.client("athena")
        asked = athena.start_query_execution(
            QueryString=opened[0].question(self._canary),
            QueryExecutionContext={"Database": self._parameters.database},
            WorkGroup=self._parameters.name,
        )["QueryExecutionId"]
        state, deadline = self._answered(athena, asked), time.monotonic() + _ATHENA_SECONDS
        while state["State"] in ("QUEUED", "RUNNING"):
            if time.monotonic() > deadline:
                raise WrongError(f"Athena has not answered after {_ATHENA_SECONDS:.0f} s.", f"See the query {asked}.")
            time.sleep(self._between)
            state = self._answered(athena, asked)
        if state["State"] != "SUCCEEDED":
            raise WrongError(
                f"Athena says {state['State']}: {state.get('StateChangeReason', '')}",
                f"See the query {asked}. Who asks needs the statements of the role {self._names.role('query')}.",
            )
        rows = athena.get_query_results(QueryExecutionId=asked)["ResultSet"]["Rows"]
        values = [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in rows]
        got = {row[0]: row[1] for row in values if len(row) == 2 and row[1].isdigit()}
        wanted = {table: str(count) for table, count in opened[0].rows(self._canary).items()}
        if got != wanted:
            raise WrongError(
                f"Athena sees {got or 'nothing'}; the tables have {wanted}.",
                "Is its database another one, or does a view or a copy stand under a table's name?",
            )
        return f"the same rows in all {len(got)} tables"

    def _archive(self) -> str:
        """Let maintenance list landing, as its schedule does: the event has to move into the archive."""
        told = self._maintained("list")
        bucket, key = self._names.bucket("landing"), self._canary.key(self._names)
        listed = self._account.client("s3").list_objects_v2(Bucket=bucket, Prefix=key)
        if listed.get("KeyCount") and not told.get("left"):
            raise WrongError(
                f"The listing went well, and the event still lies at s3://{bucket}/{key}.",
                f"Read its log, {self._names.log_group(MAINTENANCE)}.",
            )
        found, left = told.get("found", 0), told.get("left", 0)
        return f"{found} objects in landing listed" + (f", {left} left for the next time" if left else "")

    def _maintain(self) -> str:
        done = self._maintained("maintain").get("done", ())
        if failed := [one for one in done if one.get("error")]:
            raise WrongError(
                "; ".join(f"{one['task']} of {one['table']}: {one['error']}" for one in failed[:3]),
                "`carlake doctor` says what is wrong with the tables.",
            )
        return f"{len(done)} things were due, and done" if done else "nothing is due"

    def _maintained(self, duty: str) -> dict[str, Any]:
        """What the function of maintenance answers to a short turn of a duty."""
        name = self._names.name(MAINTENANCE)
        told = self._account.caller_of_functions().invoke(
            FunctionName=name, Payload=json.dumps({"duty": duty, "seconds": _MAINTENANCE_SECONDS}).encode()
        )
        answer: dict[str, Any] = json.loads(told["Payload"].read() or b"{}")
        if "FunctionError" in told:
            said = " ".join(str(answer.get("errorMessage", answer)).split())[:500]
            raise WrongError(f"{name} fails at its duty {duty}: {said}", f"Read {self._names.log_group(MAINTENANCE)}.")
        return answer

    def _answered(self, athena: Any, asked: str) -> dict[str, Any]:
        found: dict[str, Any] = athena.get_query_execution(QueryExecutionId=asked)["QueryExecution"]["Status"]
        return found

    def _remove(self, opened: list[Tables], open_tables: Step) -> str:
        s3 = self._account.client("s3")
        take_back(self._canary, self._names, s3)
        if not opened:
            open_tables()
        for _ in range(2):  # a message that comes a second time may have landed it again
            opened[0].remove(self._canary, s3)
            take_back(self._canary, self._names, s3)
            if not (left := opened[0].left(self._canary, s3)):
                return "no row and no object of it is left; older snapshots keep it until they expire"
        raise WrongError(
            f"The event is still in {', '.join(left)}.", f"Its car is {self._canary.car}: give the command again."
        )

    # -- how a step is done --------------------------------------------------------------------------------------------

    def _tried(self, step: str, do: Step, *needs: str) -> Line:
        from botocore.exceptions import BotoCoreError, ClientError

        if missing := [one for one in needs if one in self._failed]:
            self._failed.add(step)
            return Line(step, "not tried", f"needs {' and '.join(missing)}")
        try:
            return Line(step, "ok", do())
        except CarlakeError as error:
            line = Line(step, "failed", error.what, error.advice)
        except ClientError as error:
            line = Line(step, "failed", f"{error}", _advice(error))
        except BotoCoreError as error:
            line = Line(step, "failed", f"{error}", "Can AWS be reached from here?")
        self._failed.add(step)
        return line

    def _count(self, url: str) -> int:
        if not url:
            return 0
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


def _advice(error: Any) -> str:
    code, operation = str(error.response.get("Error", {}).get("Code", "")), error.operation_name
    if "AccessDenied" in code or "Unauthorized" in code or code in ("403", "Forbidden"):
        return f"Your credentials may not do {operation} here: ask for it, or check with a role that may."
    if "NotFound" in code or "NoSuch" in code or "NonExistent" in code or code in ("404", "InvalidRequestException"):
        return "It is not there: `carlake deploy apply` makes it. See prefix, environment and region in the parameters."
    return "Give the command again; if it stays so, see what AWS says of it."
