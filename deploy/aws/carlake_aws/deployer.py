"""What the role that makes all of this may do: CloudFormation takes it on, so that whoever deploys needs no more than to pass it.

Named one by one, from what the handlers of each resource call when they make, change and delete it. Everything that has a
name is limited to this deployment's names; what has none yet when it is made (a key, a mapping) carries the reason.

It is as powerful as the most that it could write into the roles of the duties, which it also hands to functions and jobs.
So who may pass it to CloudFormation with a template of their own is an administrator of this account, not only of the lake.
"""

from __future__ import annotations

from carlake_aws.deployer_backfill import of_backfill
from carlake_aws.names import Names
from carlake_aws.statements import Statement

_NAMED = "All that begins with this deployment's prefix and environment, and nothing else."
_UNNAMED = "AWS gives the id when it is made, so that no name can be given before."
_CALLED = "CloudFormation calls it when the stacks are made, changed or removed; no flow of the lake does."


def deploy(names: Names) -> tuple[Statement, ...]:
    """What CloudFormation does with the templates of these stacks."""
    own = names.parameters.name
    bucket = f"arn:{names.partition}:s3:::{own}-*"
    found = (
        Statement(
            "Buckets",
            (
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:GetBucketPolicy",
                "s3:PutBucketPolicy",
                "s3:DeleteBucketPolicy",
                "s3:GetBucketVersioning",
                "s3:PutBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:PutEncryptionConfiguration",
                "s3:GetBucketPublicAccessBlock",
                "s3:PutBucketPublicAccessBlock",
                "s3:GetBucketOwnershipControls",
                "s3:PutBucketOwnershipControls",
                "s3:GetLifecycleConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:GetBucketLogging",
                "s3:PutBucketLogging",
                "s3:GetBucketNotification",
                "s3:PutBucketNotification",
                "s3:GetBucketTagging",
                "s3:PutBucketTagging",
                "s3:ListTagsForResource",
                "s3:TagResource",
                "s3:UntagResource",
                "s3:ListBucket",
            ),
            (bucket,),
            "The buckets and how they are kept. Objects in them it can neither read nor delete.",
            wildcard=_NAMED,
        ),
        Statement(
            "ReadCode",
            ("s3:GetObject", "s3:GetObjectVersion"),
            (names.objects_arn("code", "packages/"),),
            "Lambda fetches a function's package in the name of whoever makes the function.",
            wildcard="A package's name has the hash of its content.",
        ),
        Statement(
            "Queues",
            (
                "sqs:CreateQueue",
                "sqs:DeleteQueue",
                "sqs:GetQueueAttributes",
                "sqs:SetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ListQueueTags",
                "sqs:TagQueue",
                "sqs:UntagQueue",
            ),
            (names.arn("sqs", f"{own}-*"),),
            "The queue of what landed, and that of its dead letters.",
            wildcard=_NAMED,
        ),
        Statement(
            "Catalog",
            ("glue:CreateDatabase", "glue:UpdateDatabase", "glue:DeleteDatabase", "glue:GetDatabase"),
            tuple(arn for arn in names.catalog_arns if "*" not in arn),
            "The database; its tables are carlake's.",
        ),
        Statement(
            "EmptyCatalog",
            ("glue:DeleteDatabase",),
            tuple(arn for arn in names.catalog_arns if "*" in arn),
            "Glue asks for it on the tables that go with a database that is deleted.",
            wildcard="The tables are carlake's, and not in the templates.",
        ),
        Statement(
            "Functions",
            (
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:GetFunction",
                "lambda:GetFunctionConfiguration",
                "lambda:GetFunctionCodeSigningConfig",
                "lambda:GetRuntimeManagementConfig",
                "lambda:GetFunctionRecursionConfig",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration",
                "lambda:PutFunctionConcurrency",
                "lambda:PutFunctionEventInvokeConfig",
                "lambda:GetFunctionEventInvokeConfig",
                "lambda:UpdateFunctionEventInvokeConfig",
                "lambda:DeleteFunctionEventInvokeConfig",
                "lambda:DeleteFunctionConcurrency",
                "lambda:ListTags",
                "lambda:TagResource",
                "lambda:UntagResource",
            ),
            (names.arn("lambda", f"function:{own}-*"),),
            "The functions of intake and maintenance.",
            wildcard=_NAMED,
        ),
        Statement(
            "Mappings",
            (
                "lambda:CreateEventSourceMapping",
                "lambda:DeleteEventSourceMapping",
                "lambda:GetEventSourceMapping",
                "lambda:UpdateEventSourceMapping",
            ),
            ("*",),
            "The link from the queue to the function of intake.",
            wildcard=_UNNAMED + " The condition holds it to functions of this deployment.",
            condition={"ArnLikeIfExists": {"lambda:FunctionArn": names.arn("lambda", f"function:{own}-*")}},
        ),
        Statement(
            "TagMappings",
            ("lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"),
            (names.arn("lambda", "event-source-mapping:*"),),
            "The link is made with its tag, for which Lambda asks this of whoever makes it.",
            wildcard=_UNNAMED,
        ),
        Statement(
            "Roles",
            (
                "iam:CreateRole",
                "iam:DeleteRole",
                "iam:GetRole",
                "iam:UpdateRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:GetRolePolicy",
                "iam:PutRolePolicy",
                "iam:DeleteRolePolicy",
                "iam:ListRolePolicies",
                "iam:ListAttachedRolePolicies",
                "iam:ListRoleTags",
                "iam:TagRole",
                "iam:UntagRole",
            ),
            tuple(
                names.role_arn(duty) for duty in ("intake", "maintenance", "backfill", "query", "operate", "schedules")
            ),
            "The roles of the duties, and not its own. What they may do is its to write, so see above who may pass it.",
        ),
        Statement(
            "PassRoles",
            ("iam:PassRole",),
            tuple(names.role_arn(duty) for duty in ("intake", "maintenance", "backfill", "schedules")),
            "A function, a job or a schedule is made with its role.",
            condition={"StringEquals": {"iam:PassedToService": _passed_to(names)}},
        ),
        Statement(
            "LogGroups",
            (
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:PutRetentionPolicy",
                "logs:DeleteRetentionPolicy",
                "logs:AssociateKmsKey",
                "logs:DisassociateKmsKey",
                "logs:TagResource",
                "logs:UntagResource",
                "logs:ListTagsForResource",
            ),
            (names.arn("logs", f"log-group:/{own}/*"),),
            "The log groups of functions and jobs.",
            wildcard=_NAMED,
        ),
        Statement(
            "FindLogGroups",
            ("logs:DescribeLogGroups",),
            ("*",),
            "CloudFormation looks whether a log group is there.",
            wildcard="Log groups are listed by prefix, which is no resource: AWS allows nothing but *.",
        ),
        Statement(
            "Alarms",
            (
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ),
            (names.arn("cloudwatch", f"alarm:{own}-*"),),
            "The alarms.",
            wildcard=_NAMED,
        ),
        Statement(
            "Dashboard",
            (
                "cloudwatch:PutDashboard",
                "cloudwatch:GetDashboard",
                "cloudwatch:DeleteDashboards",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ),
            (f"arn:{names.partition}:cloudwatch::{names.account}:dashboard/{names.dashboard}",),
            "The dashboard.",
        ),
        Statement(
            "Topic",
            (
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:GetTopicAttributes",
                "sns:SetTopicAttributes",
                "sns:Subscribe",
                "sns:Unsubscribe",
                "sns:GetSubscriptionAttributes",
                "sns:ListSubscriptionsByTopic",
                "sns:ListTagsForResource",
                "sns:TagResource",
                "sns:UntagResource",
                "sns:GetDataProtectionPolicy",
            ),
            (names.arn("sns", names.name("alarms")),),
            "The topic that alarms are sent to.",
        ),
        Statement(
            "Schedules",
            (
                "scheduler:CreateSchedule",
                "scheduler:DeleteSchedule",
                "scheduler:GetSchedule",
                "scheduler:UpdateSchedule",
                "scheduler:CreateScheduleGroup",
                "scheduler:DeleteScheduleGroup",
                "scheduler:GetScheduleGroup",
                "scheduler:ListTagsForResource",
                "scheduler:TagResource",
                "scheduler:UntagResource",
            ),
            (names.arn("scheduler", f"schedule/{own}/*"), names.arn("scheduler", f"schedule-group/{own}")),
            "The schedules of listing, maintenance and the daily refresh.",
            wildcard=_NAMED,
        ),
        Statement(
            "Athena",
            (
                "athena:CreateWorkGroup",
                "athena:DeleteWorkGroup",
                "athena:GetWorkGroup",
                "athena:UpdateWorkGroup",
                "athena:CreateNamedQuery",
                "athena:DeleteNamedQuery",
                "athena:GetNamedQuery",
                "athena:ListNamedQueries",
                "athena:ListTagsForResource",
                "athena:TagResource",
                "athena:UntagResource",
            ),
            (names.arn("athena", f"workgroup/{own}"),),
            "The workgroup and its named queries.",
        ),
        Statement(
            "UseKey",
            ("kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"),
            (names.key_arn,),
            "Queues, log groups and the package of code are made with the key.",
        ),
        *of_backfill(names),
    )
    return tuple(_all_called(one) for one in found)


def _passed_to(names: Names) -> list[str]:
    """The services that are given a role. One that runs no job of this deployment is given none."""
    spark = {"glue": ["glue.amazonaws.com"], "emr-serverless": ["emr-serverless.amazonaws.com"], "none": []}
    return ["lambda.amazonaws.com", *spark[names.parameters.backfill], "scheduler.amazonaws.com"]


def _all_called(statement: Statement) -> Statement:
    return Statement(
        statement.sid,
        statement.actions,
        statement.resources,
        statement.reason,
        statement.wildcard,
        statement.condition,
        dict.fromkeys(statement.actions, _CALLED),
    )
