"""One server of SQS and S3 for all tests of a worker, and for each test a bucket and queues of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from carlake.storage import clients as clients_of_stores
from carlake.storage.clients import forget_clients
from servers import moto
from servers.shared import Servers


@dataclass(frozen=True)
class Place:
    """A bucket and a queue, with a queue for dead letters, as a test has them to itself.

    Clients that are not carlake's: `s3`, `sqs`.
    """

    server: moto.Server
    bucket: str
    url: str
    dead_url: str
    s3: Any
    sqs: Any

    @property
    def landing(self) -> str:
        """The prefix where objects arrive."""
        return f"s3://{self.bucket}/landing"

    def notified(self) -> Place:
        """From now on the bucket tells the queue of its objects, as S3 does."""
        arn = self.attributes()["QueueArn"]
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
        )
        return self

    def versioned(self) -> Place:
        """From now on the bucket keeps versions."""
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        return self

    def put(self, name: str, *records: str) -> str:
        """An object below landing; gives the id of its version, "" where there are none."""
        answer = self.s3.put_object(Bucket=self.bucket, Key=f"landing/{name}", Body="\n".join(records).encode())
        return str(answer.get("VersionId") or "")

    def landed(self) -> list[str]:
        """The names below landing."""
        answer = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="landing/")
        return sorted(one["Key"].removeprefix("landing/") for one in answer.get("Contents", ()))

    def tell(self, name: str, version: str = "", **more: Any) -> None:
        """Send what EventBridge sends of an object below landing."""
        named = {"key": f"landing/{name}", "size": 1, **({"version-id": version} if version else {})}
        detail = {"bucket": {"name": self.bucket}, "object": named}
        self.send({"version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": detail, **more})

    def send(self, message: object) -> None:
        """Send a message: a text, or what is to be JSON."""
        body = message if isinstance(message, str) else json.dumps(message)
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def attributes(self, url: str = "") -> dict[str, str]:
        """How a queue stands."""
        answer = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=["All"])
        return dict(answer["Attributes"])

    def left(self) -> int:
        """How many messages the queue has, hidden ones too."""
        told = self.attributes()
        return int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesNotVisible"])

    def waiting(self) -> int:
        """How many messages anybody could receive now."""
        return int(self.attributes()["ApproximateNumberOfMessages"])

    def dead(self) -> list[str]:
        """The bodies of the dead letters, sorted."""
        answer = self.sqs.receive_message(QueueUrl=self.dead_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return sorted(message["Body"] for message in answer.get("Messages", ()))

    def hold(self, seconds: int) -> Place:
        """Messages that are received are hidden for so long."""
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": str(seconds)})
        return self

    def patient(self) -> Place:
        """No message becomes a dead letter for being received a few times."""
        policy = json.loads(self.attributes()["RedrivePolicy"]) | {"maxReceiveCount": 1000}
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"RedrivePolicy": json.dumps(policy)})
        return self


@pytest.fixture(scope="session")
def server(servers: Servers) -> moto.Server:
    return servers.moto


@pytest.fixture(scope="session")
def clients(server: moto.Server) -> Iterator[tuple[Any, Any]]:
    """Of S3 and SQS; each takes half a second to make."""
    s3, sqs = server.client("s3"), server.client("sqs")
    yield s3, sqs
    s3.close()
    sqs.close()


@pytest.fixture
def place(server: moto.Server, clients: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    # A lake that other tests of this process keep open says how stores are reached that no lake has named.
    monkeypatch.setattr(clients_of_stores, "_usual", [])
    forget_clients()
    name = f"fleet-{uuid4().hex[:8]}"
    s3, sqs = clients
    s3.create_bucket(Bucket=name)
    dead_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "30", "RedrivePolicy": policy})["QueueUrl"]
    yield Place(server, name, url, dead_url, s3, sqs)
    forget_clients()
