"""The function as it is deployed: the built package in Lambda's runtime, S3 (versitygw), the queue and Glue (moto)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote_plus

from carlake_aws.templates import resources

from aws.account import Account, Template, opened, own_parameters, renamed
from carlake.aws.pseudonym_key import VARIABLE
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.storage.clients import forget_clients
from servers import moto, versitygw
from servers.faults import Request
from servers.function import Package
from servers.lambda_runtime import Answer, Function, running

COMMIT = "AWSGlue.UpdateTable"
"""What swaps a table's metadata."""


@dataclass(frozen=True)
class Live:
    """The function, in an account. `environment` has its variables."""

    account: Account
    store: versitygw.Server
    function: Function
    environment: dict[str, str]

    def put(self, name: str, *records: str) -> None:
        """An object lands, and S3 tells the queue."""
        bucket, key = self.account.names.bucket("landing"), f"in/{name}"
        body = "\n".join(records).encode()
        answer = self.store.client().put_object(Bucket=bucket, Key=key, Body=body)
        named = {"key": quote_plus(key), "size": len(body), "eTag": answer["ETag"].strip('"')}
        if version := answer.get("VersionId"):
            named["versionId"] = version
        told = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventVersion": "2.1"}
        record = told | {"s3": {"bucket": {"name": bucket}, "object": named}}
        self.account.client("sqs").send_message(
            QueueUrl=self.account.queue_url, MessageBody=json.dumps({"Records": [record]})
        )

    def call(self, seconds: float | None = None) -> Answer:
        """One call with what the queue has, and what the service does with the answer.

        The messages of a call that failed are shown again at once: nobody waits for the queue's timeout.
        """
        event = self.account.event()
        answer = self.function.invoke(event, seconds)
        if answer.error:
            self.account.show(event)
        else:
            self.account.settle(event, answer.payload)
        return answer

    def at_commit(self, number: int, what: Callable[[], None]) -> list[Request]:
        """At the `number`th of the commits from now (from 1) do this, and let the commit go nowhere.

        Gives the list that every commit is added to.
        """
        met: list[Request] = []

        def before(request: Request) -> None:
            if request.headers.get("x-amz-target") == COMMIT:
                met.append(request)
                if len(met) == number:
                    what()
                    raise ConnectionAbortedError

        self.account.proxy.before = before
        return met

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """What the tables hold, read by a process that is not the function."""
        with self.house() as house:
            return house.query(sql).to_pylist()

    @contextmanager
    def house(self) -> Iterator[Lakehouse]:
        """The lake, opened outside of the function."""
        self.account.proxy.before = None
        own = self.environment | {"HOME": str(self.function.tmp), "XDG_STATE_HOME": str(self.function.tmp)}
        with mock.patch.dict(os.environ, own):
            forget_clients()
            with Lakehouse.open(self.environment["CARLAKE_LAKE"], Settings.load()) as house:
                yield house
        forget_clients()

    def cars(self) -> list[tuple[str, float]]:
        """Cars and their mileage, as gold has them."""
        rows = self.ask("SELECT car_chassis, current_mileage_km FROM gold_car_current_state ORDER BY car_chassis")
        return [(row["car_chassis"], row["current_mileage_km"]) for row in rows]

    def code(self) -> str:
        """The version that bronze's newest snapshot names."""
        with self.house() as house:
            table = house.catalog.load_table(f"{self.account.names.parameters.database}.bronze_car_data")
            return str(table.current_snapshot().summary["carlake.version"])


@contextmanager
def live(
    package: Package,
    templates: dict[str, Template],
    server: moto.Server,
    store: versitygw.Server,
    folder: Path,
    duty: str = "intake",
    *,
    key: str = "",
) -> Iterator[Live]:
    """The function in an account of its own, configured as its template says. `folder` is not there yet.

    key  of pseudonyms, which the account has as a secret; without it none is asked for
    """
    parameters = own_parameters()
    own = renamed(templates, parameters)
    (configured,) = [
        found["Properties"]
        for found in resources(own["compute"], "AWS::Lambda::Function").values()
        if found["Properties"]["Handler"].endswith(f".{duty}")
    ]
    with opened(server, own, parameters) as account:
        for name in ("landing", "archive", "warehouse"):
            store.make_bucket(account.names.bucket(name))
        environment = account.environment(duty) | {
            "CARLAKE_CODE": package.code,
            "AWS_ENDPOINT_URL_S3": store.endpoint,
            "AWS_SECRET_ACCESS_KEY": versitygw.SECRET,
            "AWS_ACCESS_KEY_ID": versitygw.ACCESS,
        }
        if key:
            secret = account.client("secretsmanager").create_secret(Name=account.names.name("key"), SecretString=key)
            environment[VARIABLE] = secret["ARN"]
        with running(
            package.files,
            configured["Handler"],
            environment,
            folder,
            memory_mb=configured["MemorySize"],
            seconds=configured["Timeout"],
        ) as function:
            yield Live(account, store, function, environment)
