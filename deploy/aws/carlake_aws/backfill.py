"""Backfill: Spark, as a job of Glue 5 or an application of EMR Serverless.

Both run the same script in the same environment: an archive with carlake's wheel and all that it needs, so that nothing is
fetched or resolved when a job begins.
"""

from __future__ import annotations

import json

from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_emrserverless as emr
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from carlake_aws.duties import BACKFILL, statements
from carlake_aws.job_environment import ARCHIVE, SCRIPT
from carlake_aws.names import Names
from carlake_aws.package import Package
from carlake_aws.roles import role

GLUE_VERSION = "5.1"
"""Spark 3.5.6 with Iceberg 1.10, Python 3.11."""
EMR_RELEASE = "emr-7.13.0"
"""Spark 3.5.6 with Iceberg, Python 3.11."""
_WORKER_CPU, _WORKER_GB = 4, 16


class Backfill(Construct):
    """The role, the log groups, and the job or the application."""

    def __init__(
        self, scope: Construct, names: Names, key: kms.IKey, package: Package, retention: logs.RetentionDays
    ) -> None:
        super().__init__(scope, "Backfill")
        glues = names.parameters.backfill == "glue"
        service = iam.ServicePrincipal("glue.amazonaws.com" if glues else "emr-serverless.amazonaws.com")
        self.role = role(self, names, BACKFILL, service, statements(BACKFILL, names), "Backfills by Spark")
        for number, name in enumerate(names.log_groups_of_spark()):
            logs.LogGroup(
                self,
                f"Logs{number}",
                log_group_name=name,
                retention=retention,
                encryption_key=key,
                removal_policy=RemovalPolicy.DESTROY,
            )
        if glues:
            _job(self, names, key, package, self.role)
        else:
            _application(self, names, key, package)
        CfnOutput(scope, "Script", value=_code(names, package, SCRIPT))
        given = [part for pair in arguments(names, package).items() for part in pair]
        CfnOutput(scope, "BackfillArguments", value=json.dumps(given), description="What a backfill is started with")


def arguments(names: Names, package: Package) -> dict[str, str]:
    """What the job is told: settings by their names, and what it is to do. A run's own arguments go before these."""
    return {
        "--command": "run",
        "--lake": names.uri("warehouse", "lake"),
        "--namespace": names.parameters.database,
        "--catalog": "glue",
        "--engine": "spark",
        "--code": package.code,
        "--landing": names.uri("landing", names.landing),
        "--archive": names.uri("archive"),
        # Another duty's, with another role: the listing archives, and maintenance has its own times.
        "--after-landing": "leave",
        "--maintenance": "off",
        **({"--pseudonym-secret": names.parameters.pseudonym_secret} if names.parameters.pseudonym_secret else {}),
    }


def catalog_properties(names: Names) -> dict[str, str]:
    """Iceberg's settings that Spark takes at its start and never again: those that the job would set by itself."""
    catalog = "spark.sql.catalog.carlake"
    return {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "glue",
        f"{catalog}.warehouse": names.uri("warehouse", "lake/warehouse"),
        f"{catalog}.io-impl": "org.apache.iceberg.io.ResolvingFileIO",
        f"{catalog}.cache-enabled": "false",
        "spark.sql.session.timeZone": "UTC",
    }


def _code(names: Names, package: Package, what: str) -> str:
    return f"{names.uri('code')}/{package.key(what)}"


def _job(scope: Construct, names: Names, key: kms.IKey, package: Package, made: iam.Role) -> None:
    encryption = glue.CfnSecurityConfiguration(
        scope,
        "Encryption",
        name=names.name(BACKFILL),
        encryption_configuration=glue.CfnSecurityConfiguration.EncryptionConfigurationProperty(
            cloud_watch_encryption=glue.CfnSecurityConfiguration.CloudWatchEncryptionProperty(
                cloud_watch_encryption_mode="SSE-KMS", kms_key_arn=key.key_arn
            ),
            job_bookmarks_encryption=glue.CfnSecurityConfiguration.JobBookmarksEncryptionProperty(
                job_bookmarks_encryption_mode="CSE-KMS", kms_key_arn=key.key_arn
            ),
            s3_encryptions=[
                glue.CfnSecurityConfiguration.S3EncryptionProperty(
                    s3_encryption_mode="SSE-KMS", kms_key_arn=key.key_arn
                )
            ],
        ),
    )
    confs = " --conf ".join(f"{name}={value}" for name, value in catalog_properties(names).items())
    kept = names.uri("logs", "spark")
    glue.CfnJob(
        scope,
        "Job",
        name=names.name(BACKFILL),
        description=f"Lands and refreshes by Spark; code {package.code}",
        role=made.role_arn,
        glue_version=GLUE_VERSION,
        worker_type="G.1X",
        number_of_workers=names.parameters.backfill_workers,
        timeout=2880,
        max_retries=0,
        # Two at a time are safe, and only contend for the same commits.
        execution_property=glue.CfnJob.ExecutionPropertyProperty(max_concurrent_runs=1),
        security_configuration=encryption.ref,
        command=glue.CfnJob.JobCommandProperty(
            name="glueetl", python_version="3", script_location=_code(names, package, SCRIPT)
        ),
        default_arguments={
            "--datalake-formats": "iceberg",
            "--conf": confs,
            "--python-virtual-env": _code(names, package, ARCHIVE),
            "--job-bookmark-option": "job-bookmark-disable",
            "--enable-auto-scaling": "true",
            "--custom-logGroup-prefix": names.log_group(BACKFILL),
            "--enable-spark-ui": "true",
            "--spark-event-logs-path": f"{kept}/events/",
            "--TempDir": f"{kept}/temporary/",
            **arguments(names, package),
        },
    )


def _application(scope: Construct, names: Names, key: kms.IKey, package: Package) -> None:
    workers = names.parameters.backfill_workers
    python = "./environment/bin/python"
    emr.CfnApplication(
        scope,
        "Application",
        name=names.name(BACKFILL),
        type="SPARK",
        release_label=EMR_RELEASE,
        architecture="X86_64",
        auto_start_configuration=emr.CfnApplication.AutoStartConfigurationProperty(enabled=True),
        auto_stop_configuration=emr.CfnApplication.AutoStopConfigurationProperty(enabled=True, idle_timeout_minutes=15),
        maximum_capacity=emr.CfnApplication.MaximumAllowedResourcesProperty(
            cpu=f"{workers * _WORKER_CPU} vCPU", memory=f"{workers * _WORKER_GB} GB"
        ),
        # Both name what they write by the id of the job's run.
        monitoring_configuration=emr.CfnApplication.MonitoringConfigurationProperty(
            s3_monitoring_configuration=emr.CfnApplication.S3MonitoringConfigurationProperty(
                log_uri=names.uri("logs", "spark/events/"), encryption_key_arn=key.key_arn
            ),
            cloud_watch_logging_configuration=emr.CfnApplication.CloudWatchLoggingConfigurationProperty(
                enabled=True, log_group_name=names.log_group(BACKFILL), encryption_key_arn=key.key_arn
            ),
        ),
        runtime_configuration=[
            emr.CfnApplication.ConfigurationObjectProperty(
                classification="spark-defaults",
                properties={
                    **catalog_properties(names),
                    "spark.jars": "/usr/share/aws/iceberg/lib/iceberg-spark3-runtime.jar",
                    "spark.archives": f"{_code(names, package, ARCHIVE)}#environment",
                    "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": python,
                    "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": python,
                    "spark.executorEnv.PYSPARK_PYTHON": python,
                },
            )
        ],
    )
