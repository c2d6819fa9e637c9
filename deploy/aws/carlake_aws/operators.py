"""What the people may do who mend the lake (`carlake recover`) and look whether the deployment works (`carlake deploy check`).

No function has this role: it is taken on by hand. It may do what maintenance does, since a recovery runs and archives; it
may take a table out of the catalog and enter it again, for Glue points a table nowhere else otherwise; and it may land one
event of the check and remove every trace of it.
"""

from __future__ import annotations

from carlake_aws.names import BUCKETS, CANARY, TRIAL, Names
from carlake_aws.statements import TRIALS_ALONE, Statement

_ASKED = "The service answers about the deployment's own alone where it can be told so; here AWS allows nothing but *."
_ERRORS = "It is called when the event of a check does not arrive."


def looking(names: Names) -> tuple[Statement, ...]:
    """What a check looks at, and how its event is landed, asked for and removed."""
    functions = tuple(names.arn("lambda", f"function:{names.name(duty)}") for duty in ("intake", "maintenance"))
    return (
        Statement("LookAtKey", ("kms:DescribeKey",), (names.key_arn,), "The check looks whether the key can be used."),
        Statement(
            "LookAtBuckets",
            ("s3:ListBucket",),
            tuple(names.bucket_arn(kind) for kind in BUCKETS if kind != "warehouse"),
            "The check looks whether every bucket is there; a recovery lists what lies in them. The warehouse as who writes tables.",
        ),
        Statement(
            "LookAtNotification",
            ("s3:GetBucketNotification",),
            (names.bucket_arn("landing"),),
            "The check looks whether landing tells the queue.",
        ),
        Statement(
            "LookAtQueues",
            ("sqs:GetQueueUrl", "sqs:GetQueueAttributes"),
            (names.arn("sqs", names.queue), names.arn("sqs", names.dead_letters)),
            "The check counts what waits, and what is dead.",
        ),
        Statement(
            "LookAtFunctions",
            ("lambda:GetFunctionConfiguration",),
            functions,
            "The check looks which code runs.",
        ),
        Statement(
            "CallMaintenance",
            ("lambda:InvokeFunction",),
            (names.arn("lambda", f"function:{names.name('maintenance')}"),),
            "The check lets maintenance archive its event, as a schedule would.",
        ),
        *_at_backfill(names),
        Statement(
            "LookAtLinksAndSchedules",
            ("lambda:ListEventSourceMappings", "scheduler:ListSchedules"),
            ("*",),
            "The check looks whether the queue calls the function, and whether the schedules are on.",
            wildcard=_ASKED,
        ),
        Statement(
            "LookAtLogs",
            ("logs:FilterLogEvents",),
            (names.arn("logs", f"log-group:{names.log_group('intake')}"),),
            "Where the event does not arrive, the check says what the function said.",
            unused={"logs:FilterLogEvents": _ERRORS},
        ),
        Statement(
            "Ask",
            (
                "athena:GetWorkGroup",
                "athena:StartQueryExecution",
                "athena:GetQueryExecution",
                "athena:GetQueryResults",
            ),
            (names.arn("athena", f"workgroup/{names.parameters.name}"),),
            "The check asks Athena for its event.",
        ),
        athenas_default(names),
        Statement(
            "KeepResults",
            ("s3:GetObject", "s3:PutObject"),
            (names.objects_arn("results"),),
            "Athena writes results with the role of whoever asks.",
            wildcard="A result is named by the id of its query.",
            unused=dict.fromkeys(("s3:GetObject", "s3:PutObject"), "Athena does it in the name of who asks."),
        ),
        Statement(
            "LocateResults",
            ("s3:GetBucketLocation",),
            (names.bucket_arn("results"), names.bucket_arn("warehouse")),
            "Athena looks whether the buckets are in its region.",
            unused={"s3:GetBucketLocation": "Athena does it in the name of who asks."},
        ),
        Statement(
            "LandOneEvent",
            ("s3:PutObject",),
            (names.objects_arn("landing", f"{names.landing}carlake-check/"),),
            "The check lands one event.",
            wildcard="Each check's event has a name of its own; only the check's are below this prefix.",
        ),
        Statement(
            "TryToWrite",
            ("s3:PutObject", "s3:DeleteObjectVersion"),
            (names.objects_arn("landing", f"{names.landing}{TRIAL}"), names.objects_arn("archive", TRIAL)),
            "A recovery tries first whether it may write, with an object that it takes away again.",
            wildcard=TRIALS_ALONE,
        ),
        Statement(
            "RemoveOneEvent",
            ("s3:DeleteObjectVersion",),
            (names.objects_arn("archive", f"*/{CANARY}"),),
            "The check lets maintenance archive its event, and takes it from there; nothing else bears its name.",
            wildcard="The archive names a place by the content; the check's events are told by the end.",
        ),
    )


def athenas_default(names: Names) -> Statement:
    """What whoever asks Athena needs beside the lake's own database.

    Its guide ("Configure access to databases and tables in the AWS Glue Data Catalog") wants it in each region.
    """
    return Statement(
        "SeeDefaultDatabase",
        ("glue:GetDatabase",),
        (names.arn("glue", "database/default"),),
        "Athena looks whether the database `default` is there before it runs a query on any other.",
        unused={"glue:GetDatabase": "Athena does it in the name of who asks."},
    )


def _at_backfill(names: Names) -> tuple[Statement, ...]:
    why = "The check looks whether what backfills is there, and runs the functions' code."
    if names.parameters.backfill == "glue":
        job = names.arn("glue", f"job/{names.name('backfill')}")
        return (Statement("LookAtBackfill", ("glue:GetJob",), (job,), why),)
    if names.parameters.backfill == "none":
        return ()
    return (
        Statement("FindBackfill", ("emr-serverless:ListApplications",), ("*",), why, wildcard=_ASKED),
        Statement(
            "LookAtBackfill",
            ("emr-serverless:GetApplication",),
            (names.arn("emr-serverless", "/applications/*"),),
            why,
            wildcard="An application's id is AWS's own.",
        ),
    )
