"""What the role that deploys may do with what runs backfills: a job of Glue, or an application of EMR Serverless.

It makes and changes the one that the parameters choose, and may remove both: where another is chosen, CloudFormation takes
the former away with the rights that the role has by then, and would leave it behind without them.
"""

from __future__ import annotations

from carlake_aws.names import Names
from carlake_aws.statements import Statement

_ID = "AWS gives an application its id when it is made, so that no name can be given before."
_FORMER = "What another choice of `backfill` made is removed when it is changed."
_LINKED = "AWSServiceRoleForAmazonEMRServerless"
_SERVICE = "ops.emr-serverless.amazonaws.com"


def of_backfill(names: Names) -> tuple[Statement, ...]:
    """Both kinds: in full what the parameters choose, of the other what its removal asks for."""
    return (*_of_glue(names), *_of_emr(names))


def _of_glue(names: Names) -> tuple[Statement, ...]:
    chosen = names.parameters.backfill == "glue"
    job: tuple[str, ...] = ("glue:DeleteJob", "glue:GetJob", "glue:UntagResource")
    encryption: tuple[str, ...] = (
        "glue:DeleteSecurityConfiguration",
        "glue:GetSecurityConfiguration",
        "glue:GetSecurityConfigurations",
    )
    if chosen:
        job = (*job, "glue:CreateJob", "glue:UpdateJob", "glue:GetTags", "glue:TagResource")
        encryption = (*encryption, "glue:CreateSecurityConfiguration")
    return (
        Statement(
            "Job",
            job,
            (names.arn("glue", f"job/{names.name('backfill')}"),),
            "The Spark job of backfills." if chosen else _FORMER,
        ),
        Statement(
            "JobEncryption",
            encryption,
            ("*",),
            "How the job's logs and files are encrypted." if chosen else _FORMER,
            wildcard="Security configurations of Glue have no ARN: AWS allows nothing but *.",
        ),
    )


def _of_emr(names: Names) -> tuple[Statement, ...]:
    applications = (names.arn("emr-serverless", "/applications/*"),)
    removing = ("emr-serverless:DeleteApplication", "emr-serverless:GetApplication")
    if names.parameters.backfill != "emr-serverless":
        return (Statement("Application", removing, applications, _FORMER, wildcard=_ID),)
    return (
        Statement(
            "MakeApplication",
            ("emr-serverless:CreateApplication",),
            ("*",),
            "The Spark application of backfills.",
            wildcard=_ID + " AWS allows nothing but *.",
        ),
        Statement(
            "Application",
            (
                *removing,
                "emr-serverless:UpdateApplication",
                "emr-serverless:ListTagsForResource",
                "emr-serverless:TagResource",
                "emr-serverless:UntagResource",
            ),
            applications,
            "The Spark application of backfills.",
            wildcard=_ID,
        ),
        Statement(
            "FirstApplication",
            ("iam:CreateServiceLinkedRole",),
            (f"arn:{names.partition}:iam::{names.account}:role/aws-service-role/{_SERVICE}/{_LINKED}*",),
            "The first application of an account brings the service's own role, in the name of who makes the application.",
            wildcard="IAM may add a suffix to its name. The condition holds it to this service.",
            condition={"StringLike": {"iam:AWSServiceName": _SERVICE}},
        ),
    )
