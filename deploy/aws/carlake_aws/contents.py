"""What the templates will make, in words: stack by stack, how many of what, and the names of what matters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORDS: dict[str, tuple[str, str]] = {
    "AWS::Athena::NamedQuery": ("named query", "named queries"),
    "AWS::Athena::WorkGroup": ("workgroup of Athena", "workgroups of Athena"),
    "AWS::CloudWatch::Alarm": ("alarm", "alarms"),
    "AWS::CloudWatch::Dashboard": ("dashboard", "dashboards"),
    "AWS::EMRServerless::Application": ("application of EMR Serverless", "applications of EMR Serverless"),
    "AWS::Glue::Database": ("database of the Glue catalog", "databases of the Glue catalog"),
    "AWS::Glue::Job": ("Spark job of Glue", "Spark jobs of Glue"),
    "AWS::Glue::SecurityConfiguration": ("security configuration of Glue", "security configurations of Glue"),
    "AWS::IAM::Policy": ("policy", "policies"),
    "AWS::IAM::Role": ("role", "roles"),
    "AWS::KMS::Alias": ("key's alias", "keys' aliases"),
    "AWS::KMS::Key": ("key", "keys"),
    "AWS::Lambda::EventInvokeConfig": ("function's rule of retries", "functions' rules of retries"),
    "AWS::Lambda::EventSourceMapping": ("link from the queue to a function", "links from queues to functions"),
    "AWS::Lambda::Function": ("function", "functions"),
    "AWS::Logs::LogGroup": ("log group", "log groups"),
    "AWS::S3::Bucket": ("bucket", "buckets"),
    "AWS::S3::BucketPolicy": ("bucket's policy", "buckets' policies"),
    "AWS::SNS::Subscription": ("subscription", "subscriptions"),
    "AWS::SNS::Topic": ("topic", "topics"),
    "AWS::SNS::TopicPolicy": ("topic's policy", "topics' policies"),
    "AWS::SQS::Queue": ("queue", "queues"),
    "AWS::SQS::QueuePolicy": ("queue's policy", "queues' policies"),
    "AWS::Scheduler::Schedule": ("schedule", "schedules"),
    "AWS::Scheduler::ScheduleGroup": ("group of schedules", "groups of schedules"),
}
"""Each kind of resource as people call it: one, and several."""

KEPT = frozenset(
    {
        "AWS::Glue::Database",
        "AWS::KMS::Key",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
    }
)
"""What holds something that is gone with it: data, messages, logs, who is told."""

_NAMED = (
    "BucketName",
    "QueueName",
    "FunctionName",
    "RoleName",
    "TopicName",
    "AliasName",
    "LogGroupName",
    "AlarmName",
    "DashboardName",
    "Name",
)
_MATTERS = (
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::Lambda::Function",
    "AWS::Glue::Database",
    "AWS::Glue::Job",
    "AWS::EMRServerless::Application",
    "AWS::IAM::Role",
    "AWS::Athena::WorkGroup",
    "AWS::SNS::Topic",
    "AWS::Scheduler::Schedule",
)

_UNKNOWN = {"AWS::AccountId": "ACCOUNT", "AWS::Region": "REGION"}  # as the guides have them


@dataclass(frozen=True)
class Contents:
    """One stack: what it is for, how many of each kind it has, and the names of what people will look for."""

    stack: str
    name: str
    purpose: str
    counts: dict[str, int]
    names: dict[str, tuple[str, ...]]

    @property
    def resources(self) -> int:
        """How many resources it has."""
        return sum(self.counts.values())


def contents(stack: str, name: str, template: Mapping[str, Any], facts: Mapping[str, str]) -> Contents:
    """What a template will make. `facts`: what the pseudo-parameters come to, as far as it is known."""
    resources = template["Resources"].values()
    names: dict[str, list[str]] = {}
    for found in resources:
        called = called_by(found, facts)
        if called and found["Type"] in _MATTERS:
            names.setdefault(found["Type"], []).append(called)
    return Contents(
        stack,
        name,
        str(template.get("Description", "")).removeprefix("carlake: "),
        dict(sorted(Counter(found["Type"] for found in resources).items())),
        {kind: tuple(sorted(called)) for kind, called in sorted(names.items())},
    )


def called_by(resource: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """The name that a resource will have; "" where AWS gives it one."""
    properties = resource.get("Properties", {})
    given = properties.get("DatabaseInput", {}).get("Name") if "DatabaseInput" in properties else None
    for key in _NAMED:
        given = given or properties.get(key)
    return in_words(given, facts) if given else ""


def in_words(value: Any, facts: Mapping[str, str]) -> str:
    """A value of a template as a text: what is not known yet in capitals, or in angle brackets."""
    if isinstance(value, dict) and set(value) == {"Ref"}:
        reference = str(value["Ref"])
        unknown = _UNKNOWN.get(reference, f"<{reference.removeprefix('AWS::').lower()}>")
        return facts.get(reference, unknown)
    if isinstance(value, dict) and set(value) == {"Fn::Join"}:
        mark, parts = value["Fn::Join"]
        return str(mark).join(in_words(part, facts) for part in parts)
    if isinstance(value, dict):
        return "<" + re.sub(r"\W+", " ", str(next(iter(value), ""))).strip().lower() + ">"
    return str(value)


def counted(kind: str, number: int) -> str:
    """`2 buckets`."""
    one, several = WORDS.get(kind, (kind, kind))
    return f"{number} {one if number == 1 else several}"
