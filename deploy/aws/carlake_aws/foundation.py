"""Foundation: what has to be there before the rest. The key that all data is encrypted with, and the role that deploys."""

from __future__ import annotations

from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from carlake_aws.deployer import deploy
from carlake_aws.duties import DEPLOY
from carlake_aws.names import Names
from carlake_aws.parameters import Parameters
from carlake_aws.roles import role
from carlake_aws.stack import LakeStack, names_in_templates

# What AWS would write as kms:*, named: the account's administrators manage the key, and its own policies may let roles use it.
_ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)


class Foundation(LakeStack):
    """`names` is for all other stacks: it knows the key."""

    def __init__(self, scope: Construct, parameters: Parameters) -> None:
        super().__init__(scope, "foundation", parameters, "carlake: the key, and the role that deploys the rest")
        if parameters.existing_key:
            self.key: kms.IKey = kms.Key.from_key_arn(self, "Key", parameters.existing_key)
        else:
            self.key = _key(self, names_in_templates(parameters))
        self.names: Names = names_in_templates(parameters, self.key.key_arn)
        self.deploy_role = role(
            self,
            self.names,
            DEPLOY,
            iam.ServicePrincipal("cloudformation.amazonaws.com"),
            deploy(self.names),
            "CloudFormation makes, changes and removes this lake's stacks with it",
        )
        CfnOutput(self, "RoleToDeploy", value=self.names.role_arn(DEPLOY))


def _key(scope: Construct, names: Names) -> kms.Key:
    account = {"aws:SourceAccount": names.account}
    return kms.Key(
        scope,
        "Key",
        alias=f"alias/{names.parameters.name}",
        description=f"Data of {names.parameters.name}",
        enable_key_rotation=True,
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        policy=iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    sid="Administration",
                    principals=[iam.AccountRootPrincipal()],
                    actions=list(_ADMINISTRATION),
                    resources=["*"],
                ),
                iam.PolicyStatement(
                    sid="NotificationsOfLanding",
                    principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=["*"],
                    conditions={"StringEquals": account, "ArnEquals": {"aws:SourceArn": names.bucket_arn("landing")}},
                ),
                iam.PolicyStatement(
                    sid="Alarms",
                    principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=["*"],
                    conditions={
                        "StringEquals": account,
                        "ArnLike": {"aws:SourceArn": names.arn("cloudwatch", f"alarm:{names.parameters.name}-*")},
                    },
                ),
                iam.PolicyStatement(
                    sid="Logs",
                    principals=[iam.ServicePrincipal(f"logs.{names.region}.amazonaws.com")],
                    actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
                    resources=["*"],
                    conditions={
                        "ArnLike": {
                            "kms:EncryptionContext:aws:logs:arn": names.arn(
                                "logs", f"log-group:/{names.parameters.name}/*"
                            )
                        }
                    },
                ),
            ]
        ),
    )
