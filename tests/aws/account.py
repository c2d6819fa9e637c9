"""An AWS account for tests: moto, with what the templates declare applied by each service's API, by the templates' own values.

moto's CloudFormation leaves out what it does not know and says that all is well, so it is not asked; what is applied is read
back. Everything goes through a proxy that keeps a record of each call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

from carlake_aws.names import Kind, Names
from carlake_aws.parameters import Parameters
from carlake_aws.templates import resources

from aws.filled import fill
from servers import moto
from servers.faults import Proxy, failing

Template = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """What a test has to itself. `environment` is the functions' own, with how moto is reached."""

    names: Names
    server: moto.Server
    proxy: Proxy
    functions: dict[str, dict[str, str]]
    queue_url: str
    dead_url: str

    def environment(self, duty: str) -> dict[str, str]:
        """The variables of a function as its template has them, and those by which moto is found through the proxy."""
        own = self.functions[duty] | {"CARLAKE_CODE": "0123456789abcdef"}
        if "LANDED_QUEUE_URL" in own:
            own["LANDED_QUEUE_URL"] = self.queue_url
        return own | self.server.behind(self.proxy.endpoint).environment

    def client(self, service: str) -> Any:
        """A client that is not carlake's, and leaves no record."""
        return _client(self.server, service)

    def show(self, event: dict[str, Any]) -> None:
        """As if their wait were over: these messages can be received again."""
        for record in event["Records"]:
            handle = record["receiptHandle"]
            self.client("sqs").change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=handle, VisibilityTimeout=0
            )

    def put(self, name: str, *records: str, prefix: str = "in/") -> None:
        """An object lands."""
        body = "\n".join(records).encode()
        self.client("s3").put_object(Bucket=self.names.bucket("landing"), Key=f"{prefix}{name}", Body=body)

    def keys(self, kind: Kind, prefix: str = "") -> list[str]:
        """What lies in a bucket."""
        answer = self.client("s3").list_objects_v2(Bucket=self.names.bucket(kind), Prefix=prefix)
        return sorted(one["Key"] for one in answer.get("Contents", ()))

    def event(self, most: int = 10) -> dict[str, Any]:
        """What the function is called with: messages as the service takes them from the queue."""
        answer = self.client("sqs").receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=most, MessageSystemAttributeNames=["All"]
        )
        return {
            "Records": [
                {
                    "messageId": one["MessageId"],
                    "receiptHandle": one["ReceiptHandle"],
                    "body": one["Body"],
                    "attributes": one["Attributes"],
                    "eventSource": "aws:sqs",
                    "eventSourceARN": self.names.arn("sqs", self.names.queue),
                    "awsRegion": self.names.region,
                }
                for one in answer.get("Messages", ())
            ]
        }

    def settle(self, event: dict[str, Any], answer: dict[str, Any]) -> None:
        """What the service does with the function's answer: it deletes every message that was not given back."""
        kept = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        for record in event["Records"]:
            if record["messageId"] not in kept:
                self.client("sqs").delete_message(QueueUrl=self.queue_url, ReceiptHandle=record["receiptHandle"])

    def count(self, url: str) -> int:
        """How many messages a queue has, hidden ones too."""
        told = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesNotVisible"])


@cache
def _client(server: moto.Server, service: str) -> Any:
    """Each takes half a second to make."""
    return server.client(service)


@contextmanager
def opened(server: moto.Server, synthesized: dict[str, Template], parameters: Parameters) -> Iterator[Account]:
    """An account with the queues, buckets and the database of these templates; gone afterwards is only the proxy."""
    names = Names(parameters, "aws", "123456789012", moto.REGION, _key(server))
    queue_url, dead_url = _queues(server, synthesized["intake"], names)
    _buckets(server, synthesized["storage"], names)
    database = next(iter(resources(synthesized["catalog"], "AWS::Glue::Database").values()))["Properties"]
    given = fill(database["DatabaseInput"], names)
    _client(server, "glue").create_database(
        DatabaseInput={"Name": given["Name"], "Description": given["Description"], "LocationUri": given["LocationUri"]}
    )
    functions = {
        found["Properties"]["Handler"].rpartition(".")[2]: fill(found["Properties"]["Environment"]["Variables"], names)
        for found in resources(synthesized["compute"], "AWS::Lambda::Function").values()
    }
    with failing(server.endpoint) as proxy:
        yield Account(names, server, proxy, functions, queue_url, dead_url)


def own_parameters() -> Parameters:
    """Parameters of a deployment that no other test of the process has."""
    return Parameters(prefix=f"t{uuid4().hex[:6]}", environment="test")


def renamed(templates: dict[str, Template], parameters: Parameters) -> dict[str, Template]:
    """The templates of the default parameters under other names: synthesizing anew would take seconds for each test."""
    default = Parameters()
    text = json.dumps(templates).replace(default.name, parameters.name).replace(default.database, parameters.database)
    renewed: dict[str, Template] = json.loads(text)
    return renewed


def _key(server: moto.Server) -> str:
    return str(_client(server, "kms").create_key()["KeyMetadata"]["Arn"])


def _queues(server: moto.Server, template: Template, names: Names) -> tuple[str, str]:
    sqs = _client(server, "sqs")
    found = {
        one["Properties"]["QueueName"]: one["Properties"] for one in resources(template, "AWS::SQS::Queue").values()
    }
    urls = {}
    for name in (names.dead_letters, names.queue):
        given = fill(found[name], names, template["Resources"])
        attributes = {
            "VisibilityTimeout": given.get("VisibilityTimeout"),
            "MessageRetentionPeriod": given["MessageRetentionPeriod"],
            "KmsMasterKeyId": given["KmsMasterKeyId"],
            "RedrivePolicy": json.dumps(given["RedrivePolicy"]) if "RedrivePolicy" in given else None,
        }
        asked = {key: str(value) for key, value in attributes.items() if value is not None}
        urls[name] = sqs.create_queue(QueueName=name, Attributes=asked)["QueueUrl"]
        told = sqs.get_queue_attributes(QueueUrl=urls[name], AttributeNames=["All"])["Attributes"]
        assert {key: told[key] for key in asked if key != "RedrivePolicy"} == {
            key: value for key, value in asked.items() if key != "RedrivePolicy"
        }
        if "RedrivePolicy" in asked:
            assert {k: str(v) for k, v in json.loads(told["RedrivePolicy"]).items()} == {
                k: str(v) for k, v in json.loads(asked["RedrivePolicy"]).items()
            }
    return urls[names.queue], urls[names.dead_letters]


def _buckets(server: moto.Server, template: Template, names: Names) -> None:
    s3 = _client(server, "s3")
    for found in resources(template, "AWS::S3::Bucket").values():
        given = fill(found["Properties"], names, template["Resources"])
        name = given["BucketName"]
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=given["VersioningConfiguration"])
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        if "NotificationConfiguration" not in given:
            continue
        notification = {
            "QueueConfigurations": [
                {"QueueArn": one["Queue"], "Events": [one["Event"]], "Filter": _filter(one["Filter"])}
                for one in given["NotificationConfiguration"]["QueueConfigurations"]
            ]
        }
        s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=notification)
        (told,) = s3.get_bucket_notification_configuration(Bucket=name)["QueueConfigurations"]
        assert told["QueueArn"] == names.arn("sqs", names.queue)


def _filter(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "Key": {"FilterRules": [{"Name": rule["Name"], "Value": rule["Value"]} for rule in given["S3Key"]["Rules"]]}
    }
