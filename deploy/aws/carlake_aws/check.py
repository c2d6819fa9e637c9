"""`carlake deploy check`: each part looked at, and each path gone by one event, with the credentials of whoever asks.

Every step says that it is well, or what is wrong and what to do; a step that cannot be tried since another failed says so.
Whatever goes wrong, the event is removed again, and looked for afterwards. Where a check itself is broken off, it takes the
event out of landing if it still can, and the next one removes what is left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from carlake.errors import CarlakeError
from carlake.tables.declare import BRONZE
from carlake_aws.account import Account, signed_in
from carlake_aws.canary import Canary, Tables, tables, take_back
from carlake_aws.duties import INTAKE, MAINTENANCE
from carlake_aws.errors import WrongError
from carlake_aws.names import Names
from carlake_aws.parameters import Parameters
from carlake_aws.parts import Parts

Outcome = Literal["ok", "failed", "not tried"]
Step = Callable[[], str]

SECONDS = 120.0
"""How long the event may be on its way."""
_BETWEEN = 1.0
_ATHENA_SECONDS = 60.0
_MAINTENANCE_SECONDS = 30.0
_HANDS_SECONDS = 30.0
_ANOTHERS = timedelta(minutes=15)
"""An event that is so much older than the check's own is no other check's that is under way."""


@dataclass(frozen=True)
class Line:
    """One step. found: what is there, or what is wrong; advice: what to do about it."""

    step: str
    outcome: Outcome
    found: str
    advice: str = ""


class Check:
    """One check. `lines` yields each step as it is done."""

    def __init__(self, parameters: Parameters, seconds: float = SECONDS, between: float = _BETWEEN) -> None:
        self._parameters, self._seconds, self._between = parameters, seconds, between
        self._failed: set[str] = set()
        self._canary = Canary.new()
        self._landed = False

    def lines(self) -> Iterator[Line]:
        """Every step in order. Never raises for what is wrong with the deployment."""
        yield (line := self._tried("credentials", self._sign_in))
        if line.outcome != "ok":
            return
        parts = self._parts
        yield self._tried("key", parts.key)
        yield self._tried("buckets", parts.buckets)
        yield self._tried("notification", parts.notification, "buckets")
        yield self._tried("queue", parts.queue)
        yield self._tried("functions", parts.functions)
        yield self._tried("link", parts.link, "functions", "queue")
        yield self._tried("schedules", parts.schedules)
        yield self._tried("workgroup", parts.workgroup)
        if self._parameters.runs_spark:
            yield self._tried("backfill", parts.backfill, "functions")
        with ExitStack() as stack:
            opened: list[Tables] = []

            def open_tables() -> str:
                opened.append(stack.enter_context(tables(self._names)))
                return f"{len(opened[0].rows(self._canary))} tables in {self._parameters.database}"

            # Where the way is known to be broken, nobody has to wait to see it.
            stack.callback(self._take_back)
            yield self._tried("land", self._land, "key", "buckets", "notification", "queue", "functions", "link")
            yield self._tried("arrive", lambda: self._arrive(open_tables, opened), "land")
            yield self._tried("athena", lambda: self._ask_athena(opened), "arrive", "workgroup")
            yield self._tried("archive", lambda: self._archive(opened), "arrive", "functions")
            yield self._tried("maintain", self._maintain, "archive")
            if self._landed:
                yield self._tried("remove", lambda: self._remove(opened, open_tables))

    # -- each part -----------------------------------------------------------------------------------------------------

    def _sign_in(self) -> str:
        self._account: Account = signed_in(self._parameters.region)
        self._names: Names = self._account.names(self._parameters)
        self._parts = Parts(self._account, self._names, self._parameters)
        return f"{self._account.caller}, account {self._account.number}, {self._account.region}"

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
                took = f"within {time.monotonic() - started:.0f} s"
                if all(rows.values()):
                    return f"in all {len(rows)} tables {took}"
                if rows[BRONZE] and not opened[0].behind():
                    none = ", ".join(table for table, count in rows.items() if not count)
                    return f"taken in {took}; by this lake's own contracts and rules there is no row of it in {none}"
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
        parts = self._parts
        if parts.count(parts.dead_url) > parts.dead_before:
            where = "Its message is a dead letter by now: the function failed each time"
        elif waiting := parts.count(parts.queue_url):
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

    def _archive(self, opened: list[Tables]) -> str:
        """Let maintenance list landing, as its schedule does: the event has to move into the archive."""
        hidden, stays = opened[0].has_pseudonyms, opened[0].stays_in_landing
        if hidden:
            self._take_back()
        told = self._maintained("list")
        bucket, key = self._names.bucket("landing"), self._canary.key(self._names)
        listed = self._account.client("s3").list_objects_v2(Bucket=bucket, Prefix=key)
        if listed.get("KeyCount") and not told.get("left") and not stays:
            raise WrongError(
                f"The listing went well, and the event still lies at s3://{bucket}/{key}.",
                f"Read its log, {self._names.log_group(MAINTENANCE)}.",
            )
        found, left, unreadable = (told.get(name, 0) for name in ("found", "left", "unreadable"))
        parts = [f"{found} objects in landing listed"]
        parts += [f"{left} left for the next time"] if left else []
        parts += [f"{unreadable} cannot be taken in, see its log"] if unreadable else []
        parts += ["they stay there, as the lake's settings say"] if stays else []
        # An operator may take from the archive what bears a check's name, and there it would bear a pseudonym.
        parts += ["the event was taken out before, since with pseudonyms it could not be found there"] if hidden else []
        return "; ".join(parts)

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

    def _take_back(self) -> None:
        """Take the event out of landing: whatever ends the check, what is not there is not landed again."""
        if self._landed:
            take_back(self._canary, self._names, self._account.client("s3"))

    def _remove(self, opened: list[Tables], open_tables: Step) -> str:
        s3 = self._account.client("s3")
        self._take_back()
        if not opened:
            open_tables()
        self._await_other_hands()
        for _ in range(2):  # a message that comes a second time may have landed it again
            opened[0].remove(self._canary, s3)
            self._take_back()
            if not (left := opened[0].left(self._canary, s3)):
                others = opened[0].remove_older(self._canary.at - _ANOTHERS, s3)
                swept = f"; so are {others} that broken-off checks had left" if others else ""
                return f"no row and no object of it is left{swept}; older snapshots keep it until they expire"
        raise WrongError(
            f"The event is still in {', '.join(left)}.",
            f"Its car is {self._canary.car}. A check in a quarter of an hour or later removes it.",
        )

    def _await_other_hands(self) -> None:
        """Wait for a function that has the event, where it did not arrive: else it would be committed after all."""
        parts, until = self._parts, time.monotonic() + _HANDS_SECONDS
        while "arrive" in self._failed and parts.counts(parts.queue_url)[1] and time.monotonic() < until:
            time.sleep(self._between)

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
        except Exception as error:  # noqa: BLE001  (the event is to be removed whatever comes)
            what = f"{type(error).__name__}: {error}"
            line = Line(step, "failed", what, "This is a fault of carlake's: please report it.")
        self._failed.add(step)
        return line


def _advice(error: Any) -> str:
    code, operation = str(error.response.get("Error", {}).get("Code", "")), error.operation_name
    if "AccessDenied" in code or "Unauthorized" in code or code in ("403", "Forbidden"):
        return f"Your credentials may not do {operation} here: ask for it, or check with a role that may."
    if "NotFound" in code or "NoSuch" in code or "NonExistent" in code or code in ("404", "InvalidRequestException"):
        return "It is not there: `carlake deploy apply` makes it. See prefix, environment and region in the parameters."
    return "Give the command again; if it stays so, see what AWS says of it."
