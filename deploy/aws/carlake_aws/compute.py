"""Compute: the functions of the trickle and of upkeep, and what runs Spark for backfills."""

from __future__ import annotations

from aws_cdk import Annotations, CfnOutput, Duration, RemovalPolicy, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from carlake.aws.pseudonym_key import VARIABLE
from carlake_aws.backfill import Backfill
from carlake_aws.duties import INTAKE, MAINTENANCE, statements
from carlake_aws.lake_settings import settings
from carlake_aws.names import Names
from carlake_aws.package import Package
from carlake_aws.quotas import MAINTENANCE_CALLS
from carlake_aws.roles import acknowledge, role
from carlake_aws.stack import LakeStack

RETENTION = {
    days: logs.RetentionDays[name]
    for days, name in (
        (7, "ONE_WEEK"),
        (14, "TWO_WEEKS"),
        (30, "ONE_MONTH"),
        (60, "TWO_MONTHS"),
        (90, "THREE_MONTHS"),
        (180, "SIX_MONTHS"),
        (365, "ONE_YEAR"),
    )
}
METRICS = "carlake"
"""The namespace of the metrics that the functions write into their logs."""

_RUNTIMES = {
    "3.11": functions.Runtime.PYTHON_3_11,
    "3.12": functions.Runtime.PYTHON_3_12,
    "3.13": functions.Runtime.PYTHON_3_13,
}


class Compute(LakeStack):
    """`intake` and `maintenance`, the functions."""

    def __init__(self, scope: Construct, names: Names, key: kms.IKey, queue: sqs.IQueue, code: s3.IBucket) -> None:
        super().__init__(scope, "compute", names.parameters, "carlake: what lands events, keeps tables, and backfills")
        self._names, self._key, self._code = names, key, code
        self.package = Package.asked_for(self)
        why = "The key has the hash of the content: another content has another key, and an object never changes."
        Annotations.of(code).acknowledge_warning("@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified", why)
        own = names.parameters
        self.intake = self._function(
            INTAKE, "Lands what messages name, and brings every table up to date", own.concurrency, queue
        )
        self.maintenance = self._function(
            MAINTENANCE, "Lists landing, archives, refreshes by the day, compacts and expires", MAINTENANCE_CALLS
        )
        functions.EventSourceMapping(
            self,
            "Mapping",
            target=self.intake,
            event_source_arn=queue.queue_arn,
            batch_size=own.batch_messages,
            max_batching_window=Duration.seconds(own.batch_seconds),
            max_concurrency=own.concurrency,
            report_batch_item_failures=True,
        )
        if own.runs_spark:
            Backfill(self, names, key, self.package, RETENTION[own.logs_days])
        CfnOutput(self, "Code", value=self.package.key(""), description="The package that runs")

    def _function(self, duty: str, description: str, calls: int, queue: sqs.IQueue | None = None) -> functions.Function:
        names, own = self._names, self._names.parameters
        service = iam.ServicePrincipal("lambda.amazonaws.com")
        made = role(self, names, duty, service, statements(duty, names), description)
        group = logs.LogGroup(
            self,
            f"{duty.capitalize()}Logs",
            log_group_name=names.log_group(duty),
            retention=RETENTION[own.logs_days],
            encryption_key=self._key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        function = functions.Function(
            self,
            f"{duty.capitalize()}Function",
            function_name=names.name(duty),
            description=f"{description}; code {self.package.code}",
            runtime=_RUNTIMES[own.python],
            architecture=functions.Architecture.X86_64,
            handler=f"carlake.aws.handler.{duty}",
            code=functions.Code.from_bucket(self._code, self.package.key("function.zip")),
            # By its ARN, so that the construct cannot add to the role what it thinks is needed.
            role=iam.Role.from_role_arn(self, f"{duty.capitalize()}RoleAsItIs", made.role_arn, mutable=False),
            memory_size=own.function_memory_mb,
            ephemeral_storage_size=Size.mebibytes(own.function_disk_mb),
            timeout=Duration.seconds(own.function_seconds),
            tracing=functions.Tracing.ACTIVE,
            log_group=group,
            logging_format=functions.LoggingFormat.JSON,
            reserved_concurrent_executions=calls,
            retry_attempts=0,
            environment=self._environment() | ({"LANDED_QUEUE_URL": queue.queue_url} if queue else {}),
        )
        newest = (
            "The package's binary parts are built and tested for this version of Python; a later one is a parameter."
        )
        acknowledge(function, "AwsSolutions-L1", newest)
        return function

    def _environment(self) -> dict[str, str]:
        """Settings of the lake, and how the function says what it does. No secrets: credentials are the role's."""
        names, own = self._names, self._names.parameters
        return {
            **settings(names),
            "CARLAKE_MAINTENANCE": "off",
            # A third of the memory is for what is not the engine: Python, Arrow, what a batch holds.
            "CARLAKE_MEMORY_LIMIT": f"{own.function_memory_mb * 2 // 3} MiB",
            "CARLAKE_CODE": self.package.code,
            **({VARIABLE: own.pseudonym_secret} if own.pseudonym_secret else {}),
            "POWERTOOLS_SERVICE_NAME": own.name,
            "POWERTOOLS_METRICS_NAMESPACE": METRICS,
            # The one folder that can be written.
            "HOME": "/tmp",  # noqa: S108
        }
