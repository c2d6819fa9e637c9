"""Intake: the queue of what landed, and that of its dead letters. Only the landing bucket of this account may send to it."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from carlake_aws.names import RECEIVES, Names
from carlake_aws.stack import LakeStack

_FORTNIGHT = Duration.days(14)


class Intake(LakeStack):
    """`queue` and `dead_letters`. The bucket is named before it is made: its notification needs the queue to be there."""

    def __init__(self, scope: Construct, names: Names, key: kms.IKey) -> None:
        super().__init__(
            scope, "intake", names.parameters, "carlake: the queue of what landed, and of its dead letters"
        )
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            queue_name=names.dead_letters,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=_FORTNIGHT,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.queue = sqs.Queue(
            self,
            "Landed",
            queue_name=names.queue,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            data_key_reuse=Duration.hours(1),
            enforce_ssl=True,
            retention_period=_FORTNIGHT,
            # As AWS advises: six times the function's limit, so that a call that is throttled is tried again within it,
            # and for how long messages are gathered before a call.
            visibility_timeout=Duration.seconds(6 * names.parameters.function_seconds + names.parameters.batch_seconds),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=RECEIVES),
            removal_policy=RemovalPolicy.DESTROY,
        )
        sources = self.dead_letters.node.default_child
        assert isinstance(sources, sqs.CfnQueue)
        sources.redrive_allow_policy = {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [names.arn("sqs", names.queue)],
        }
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LandingSends",
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.queue.queue_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": names.account},
                    "ArnEquals": {"aws:SourceArn": names.bucket_arn("landing")},
                },
            )
        )
