"""Templates as CloudFormation would fill them in: references and functions replaced by what they come to."""

from __future__ import annotations

from typing import Any

from carlake_aws.names import Names


def _pseudo(names: Names) -> dict[str, str]:
    return {
        "AWS::Partition": names.partition,
        "AWS::AccountId": names.account,
        "AWS::Region": names.region,
        "AWS::URLSuffix": "amazonaws.com",
    }


def fill(value: Any, names: Names, resources: dict[str, Any] | None = None) -> Any:
    """A value with pseudo-parameters, joins and the references that tests ask about filled in; others stay as names."""
    if isinstance(value, list):
        return [fill(item, names, resources) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return _pseudo(names).get(value["Ref"], f"ref:{value['Ref']}")
    if set(value) == {"Fn::Join"}:
        mark, parts = value["Fn::Join"]
        return mark.join(str(fill(part, names, resources)) for part in parts)
    if set(value) == {"Fn::ImportValue"}:
        return _exported(str(value["Fn::ImportValue"]), names)
    if set(value) == {"Fn::GetAtt"}:
        return _attribute(value["Fn::GetAtt"], names, resources or {})
    return {key: fill(item, names, resources) for key, item in value.items()}


def _exported(export: str, names: Names) -> str:
    if "foundation" in export and "Key" in export:
        return names.key_arn
    if "intake" in export:
        return names.arn("sqs", names.dead_letters if "DeadLetters" in export else names.queue)
    return f"import:{export}"


def _attribute(of: list[str], names: Names, resources: dict[str, Any]) -> str:
    name, attribute = of
    kind = resources.get(name, {}).get("Type", "")
    properties = resources.get(name, {}).get("Properties", {})
    if attribute == "Arn":
        if kind == "AWS::KMS::Key":
            return names.key_arn
        if kind == "AWS::SQS::Queue":
            return names.arn("sqs", properties["QueueName"])
        if kind == "AWS::S3::Bucket":
            return f"arn:aws:s3:::{fill(properties['BucketName'], names, resources)}"
    return f"{attribute}:{name}"
