"""What every stack of a deployment shares: its name, its tags, and that it needs nothing prepared in the account."""

from __future__ import annotations

from aws_cdk import Aws, LegacyStackSynthesizer, Stack, Tags
from constructs import Construct

from carlake_aws.names import Names
from carlake_aws.parameters import Parameters


def names_in_templates(parameters: Parameters, key_arn: str = "") -> Names:
    """The names, with partition, account and region as CloudFormation fills them in: a template fits any account."""
    return Names(parameters, Aws.PARTITION, Aws.ACCOUNT_ID, Aws.REGION, key_arn)


class LakeStack(Stack):
    """One stack of a deployment.

    No bootstrap of the account is asked for: it would bring a role that may do everything. So templates have no assets;
    code is in a bucket of the storage stack, under a name with the hash of its content.
    """

    def __init__(self, scope: Construct, holds: str, parameters: Parameters, description: str) -> None:
        super().__init__(
            scope,
            f"{parameters.name}-{holds}",
            stack_name=f"{parameters.name}-{holds}",
            description=description,
            synthesizer=LegacyStackSynthesizer(),
            termination_protection=holds in ("foundation", "storage", "catalog"),
        )
        Tags.of(self).add("carlake:lake", parameters.name)
        self.parameters = parameters
