"""Roles from the duties' statements, and the acknowledgement of each wildcard that is left, with its own reason."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import Construct

from carlake_aws.names import Names
from carlake_aws.statements import Statement


def role(
    scope: Construct,
    names: Names,
    duty: str,
    principal: iam.IPrincipal,
    statements: Sequence[Statement],
    description: str,
) -> iam.Role:
    """The role of a duty, with nothing but these statements, whatever constructs would like to add to it."""
    made = iam.Role(
        scope,
        f"{duty.capitalize()}Role",
        role_name=names.role(duty),
        assumed_by=principal,
        description=description,
        inline_policies={
            duty: iam.PolicyDocument(statements=[iam.PolicyStatement.from_json(one.document()) for one in statements])
        },
    )
    acknowledge_wildcards(made, statements)
    return made


def acknowledge_wildcards(construct: Construct, statements: Sequence[Statement]) -> None:
    """Say why each resource with a wildcard is there, where the checks look for it."""
    reasons = {resource: one.wildcard for one in statements for resource in one.resources if "*" in resource}
    for resource, reason in reasons.items():
        acknowledge(construct, f"AwsSolutions-IAM5[Resource::{_as_reported(construct, resource)}]", reason)


def acknowledge(construct: Construct, finding: str, reason: str) -> None:
    """Accept one finding on one construct, with the reason."""
    Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))


def _as_reported(construct: Construct, resource: str) -> str:
    """A resource as the checks write it: pseudo-parameters by their names."""
    resolved = Stack.of(construct).resolve(resource)
    if isinstance(resolved, str):
        return resolved
    parts = resolved["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
