"""Storage: every bucket. Versioned, encrypted with the key, closed to the public, by TLS alone, with a lifecycle."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from carlake_aws.names import Kind, Names
from carlake_aws.roles import acknowledge
from carlake_aws.stack import LakeStack

_ACCESS_LOG_DAYS = 90
_FORMER_METADATA_DAYS = 7

_OF_EVERY_BUCKET: dict[str, Any] = {
    "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
    "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    "enforce_ssl": True,
    "minimum_tls_version": 1.2,
    "versioned": True,
    "removal_policy": RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
}


class Storage(LakeStack):
    """`buckets`, by kind. What is in them outlives the stack: removing it leaves every bucket where it is."""

    def __init__(self, scope: Construct, names: Names, key: kms.IKey) -> None:
        super().__init__(
            scope, "storage", names.parameters, "carlake: landing, archive, warehouse, results, logs, code"
        )
        self._names, self._key = names, key
        own = names.parameters
        self._access = self._access_logs()
        self.buckets: dict[Kind, s3.IBucket] = {
            "archive": self._bucket("archive", own.former_versions_days, cold_days=own.archive_cold_days),
            # Iceberg never overwrites a file, so a former version is a file that maintenance removed.
            "warehouse": self._bucket("warehouse", min(own.former_versions_days, _FORMER_METADATA_DAYS)),
            "results": self._bucket("results", 7, days=own.results_days),
            "logs": self._bucket("logs", 7, days=own.logs_days),
            "code": self._bucket("code", own.former_versions_days),
        }
        if own.existing_landing_bucket:
            self.buckets["landing"] = s3.Bucket.from_bucket_name(self, "Landing", own.existing_landing_bucket)
        else:
            landing = self._bucket("landing", own.former_versions_days)
            self._notified(landing)
            self.buckets["landing"] = landing

    def _bucket(
        self, kind: Kind, former_days: int, *, days: int | None = None, cold_days: int | None = None
    ) -> s3.Bucket:
        return s3.Bucket(
            self,
            kind.capitalize(),
            bucket_name=self._names.bucket(kind),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            bucket_key_enabled=True,
            # Small objects stay where they are: the cold class bills each as 128 KiB, so one of less than about 22 kB would
            # cost more there, and the move itself is billed by the object.
            transition_default_minimum_object_size=s3.TransitionDefaultMinimumObjectSize.ALL_STORAGE_CLASSES_128_K
            if cold_days
            else None,
            **_OF_EVERY_BUCKET,
            server_access_logs_bucket=self._access,
            server_access_logs_prefix=f"{kind}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="lifecycle",
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                    noncurrent_version_expiration=Duration.days(former_days),
                    expiration=Duration.days(days) if days else None,
                    expired_object_delete_marker=None if days else True,
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                            transition_after=Duration.days(cold_days),
                        )
                    ]
                    if cold_days
                    else None,
                )
            ],
        )

    def _access_logs(self) -> s3.Bucket:
        """S3 writes access logs only where it keeps the keys itself; each bucket is let in by its own statement."""
        bucket = s3.Bucket(
            self,
            "Access",
            bucket_name=self._names.bucket("access"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            **_OF_EVERY_BUCKET,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="lifecycle",
                    expiration=Duration.days(_ACCESS_LOG_DAYS),
                    noncurrent_version_expiration=Duration.days(7),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
        )
        acknowledge(
            bucket, "AwsSolutions-S1", "It is where the access logs of all others lie; its own would log themselves."
        )
        return bucket

    def _notified(self, landing: s3.Bucket) -> None:
        """Tell the queue of what lands. By the bucket's own property: the construct would bring a function of its own."""
        bucket = landing.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        bucket.notification_configuration = {
            "queueConfigurations": [
                {
                    "event": "s3:ObjectCreated:*",
                    "queue": self._names.arn("sqs", self._names.queue),
                    "filter": {"s3Key": {"rules": [{"name": "prefix", "value": self._names.landing}]}},
                }
            ]
        }
