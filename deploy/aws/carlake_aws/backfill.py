"""Backfill: Spark, as a job of Glue 5 or an application of EMR Serverless. Both run the same file with the same wheel."""

from __future__ import annotations

from aws_cdk import CfnOutput
from aws_cdk import aws_emrserverless as emr
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from carlake_aws.duties import BACKFILL, statements
from carlake_aws.names import Names
from carlake_aws.package import Package
from carlake_aws.roles import role

GLUE_VERSION = "5.0"
"""Spark 3.5 with Iceberg, Python 3.11."""
EMR_RELEASE = "emr-7.9.0"

_WORKER_CPU, _WORKER_GB = 4, 16


class Backfill(Construct):
    """The role, and the job or the application."""

    def __init__(self, scope: Construct, names: Names, key: kms.IKey, package: Package) -> None:
        super().__init__(scope, "Backfill")
        glues = names.parameters.backfill == "glue"
        service = iam.ServicePrincipal("glue.amazonaws.com" if glues else "emr-serverless.amazonaws.com")
        self.role = role(self, names, BACKFILL, service, statements(BACKFILL, names), "Backfills by Spark")
        if glues:
            _job(self, names, key, package, self.role)
        else:
            _application(self, names)
        CfnOutput(scope, "Script", value=f"{names.uri('code')}/{package.key('spark_job.py')}")
        CfnOutput(scope, "Wheel", value=f"{names.uri('code')}/{package.key(_wheel(package))}")


def catalog_properties(names: Names) -> dict[str, str]:
    """Iceberg's settings that Spark takes at its start and never again."""
    catalog = "spark.sql.catalog.carlake"
    return {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "glue",
        f"{catalog}.warehouse": names.uri("warehouse", "lake/warehouse"),
        f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{catalog}.cache-enabled": "false",
        "spark.sql.session.timeZone": "UTC",
    }


def _wheel(package: Package) -> str:
    return f"carlake-{package.version}-py3-none-any.whl"


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
    logs = names.uri("logs", "spark")
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
            name="glueetl", python_version="3", script_location=f"{names.uri('code')}/{package.key('spark_job.py')}"
        ),
        default_arguments={
            "--datalake-formats": "iceberg",
            "--conf": confs,
            "--additional-python-modules": f"{names.uri('code')}/{package.key(_wheel(package))}",
            "--job-bookmark-option": "job-bookmark-disable",
            "--enable-auto-scaling": "true",
            "--enable-continuous-cloudwatch-log": "true",
            "--continuous-log-logGroup": names.log_group(BACKFILL),
            "--enable-spark-ui": "true",
            "--spark-event-logs-path": f"{logs}/events/",
            "--TempDir": f"{logs}/temporary/",
            "--command": "run",
            "--lake": names.uri("warehouse", "lake"),
            "--namespace": names.parameters.database,
            "--catalog": "glue",
            "--engine": "spark",
            "--code": package.code,
            "--landing": names.uri("landing", "in"),
            "--archive": names.uri("archive"),
        },
    )


def _application(scope: Construct, names: Names) -> None:
    workers = names.parameters.backfill_workers
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
        runtime_configuration=[
            emr.CfnApplication.ConfigurationObjectProperty(
                classification="spark-defaults", properties=catalog_properties(names)
            )
        ],
    )
