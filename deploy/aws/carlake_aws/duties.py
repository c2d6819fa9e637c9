"""The duties, and what each may do: the whole list of permissions, with the reason of each.

A duty is a role. Functions, jobs and people take on the one that they need, and none has more than its own statements.
The tests run the real flows, record every call, and ask these statements about each.
"""

from __future__ import annotations

from collections.abc import Mapping

from carlake_aws.names import Names
from carlake_aws.operators import athenas_default, looking
from carlake_aws.statements import TAKEN_BELOW, Statement
from carlake_aws.unversioned import without_versions

INTAKE, MAINTENANCE, BACKFILL, QUERY, DEPLOY = "intake", "maintenance", "backfill", "query", "deploy"
OPERATE = "operate"
DUTIES = (INTAKE, MAINTENANCE, BACKFILL, QUERY, OPERATE, DEPLOY)

_OBJECTS = "A key is not known before it is written; the bucket holds nothing else."
_STREAMS = "Names of log streams are made by the service while it runs."
_TABLES = "carlake makes its tables itself, so their names stand in its code; the database is this lake's alone."
_MULTIPART = "It is called when an upload in parts fails, which no test can bring about at a given place."
_FIRST = "The tables are made by the function that is called first, which may be this one."
_FAILS = "It is called when a commit is refused and its files are taken away again."
_SERVICE = "The service that runs Spark does it with the job's role, before and beside carlake's own code."


def statements(duty: str, names: Names) -> tuple[Statement, ...]:
    """What a duty may do, `deploy` aside (see `carlake_aws.deployer`)."""
    known = {INTAKE: intake, MAINTENANCE: maintenance, BACKFILL: backfill, QUERY: query, OPERATE: operate}
    return known[duty](names)


def intake(names: Names) -> tuple[Statement, ...]:
    """Landing to gold. It reads what landed and writes tables; it takes nothing from landing, and deletes no version of anything."""
    return (
        Statement(
            "ReadWhatLanded",
            ("s3:GetObject", "s3:GetObjectVersion"),
            (names.objects_arn("landing", names.landing),),
            "Events are read from the object, or the version of it, that a message names.",
            wildcard="Whoever sends events chooses their names; only those below the prefix are readable.",
        ),
        Statement(
            "FindWhatLanded",
            ("s3:ListBucket",),
            (names.bucket_arn("landing"),),
            "Without it S3 answers 403 instead of 404 for an object that is gone, and a message could not be let go.",
            condition=_below_landing(names),
            unused={"s3:ListBucket": "S3 asks for it when an object is not there."},
        ),
        *_tables(names, INTAKE),
        Statement(
            "TakeMessages",
            ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"),
            (names.arn("sqs", names.queue),),
            "The service that calls the function takes messages from the queue with the function's role; the function itself "
            "lets others have at once what it has no time for.",
            unused=dict.fromkeys(
                ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
                "The service asks before it links a function to a queue; it is its own caller, not the function.",
            ),
        ),
        *_function(names, INTAKE),
        _key(names, ("s3", "sqs")),
    )


def maintenance(names: Names) -> tuple[Statement, ...]:
    """List landing, archive, refresh at midnight, compact, expire, remove what nothing refers to."""
    return (
        Statement(
            "TakeFromLanding",
            ("s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObjectVersion"),
            (names.objects_arn("landing", names.landing),),
            "An object whose rows are committed is copied to the archive, and then the version that was read is deleted.",
            wildcard=TAKEN_BELOW,
        ),
        *without_versions(names),
        Statement(
            "ListLanding",
            ("s3:ListBucket", "s3:ListBucketVersions"),
            (names.bucket_arn("landing"),),
            "The listing is the truth: it finds what no message told of, and overwritten versions that nobody read.",
            condition=_below_landing(names),
            unused={
                "s3:ListBucketVersions": "It is asked when an object is overwritten between the listing and its move."
            },
        ),
        Statement(
            "Archive",
            ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"),
            (names.objects_arn("archive"),),
            "The copy is put, and read again before the object in landing is deleted.",
            wildcard="A place in the archive is named by its content.",
            unused={"s3:AbortMultipartUpload": _MULTIPART},
        ),
        Statement(
            "FindInArchive",
            ("s3:ListBucket",),
            (names.bucket_arn("archive"),),
            "Without it S3 answers 403 instead of 404 for a place in the archive that is free.",
            unused={"s3:ListBucket": "S3 asks for it when an object is not there."},
        ),
        *_tables(names, MAINTENANCE),
        *_function(names, MAINTENANCE),
        _key(names, ("s3",)),
    )


def backfill(names: Names) -> tuple[Statement, ...]:
    """A Spark job over what landed or was archived."""
    return (
        Statement(
            "ReadEvents",
            ("s3:GetObject",),
            (names.objects_arn("landing", names.landing), names.objects_arn("archive")),
            "A backfill reads what lies in landing, or the archive from the beginning.",
            wildcard="Whoever sends events chooses their names.",
        ),
        Statement(
            "ListArchive",
            ("s3:ListBucket",),
            (names.bucket_arn("archive"),),
            "The objects to read are listed.",
        ),
        Statement(
            "ListLanding",
            ("s3:ListBucket",),
            (names.bucket_arn("landing"),),
            "The objects to read are listed.",
            condition=_below_landing(names),
        ),
        *_tables(names, BACKFILL),
        Statement(
            "LoadCode",
            ("s3:GetObject",),
            (names.objects_arn("code", "packages/"),),
            "The job's script and environment, named by their content.",
            wildcard="A package's name has the hash of its content, which is not known before it is built.",
            unused={"s3:GetObject": _SERVICE},
        ),
        Statement(
            "WriteEventLogs",
            ("s3:PutObject", "s3:GetObject"),
            (names.objects_arn("logs", "spark/"),),
            "Spark's event logs, and the job's temporary files.",
            wildcard="Spark names its logs by the application's id.",
            unused=dict.fromkeys(("s3:PutObject", "s3:GetObject"), _SERVICE),
        ),
        Statement(
            "ListLogs",
            ("s3:ListBucket",),
            (names.bucket_arn("logs"),),
            "Spark looks whether the folder of its event log is there.",
            condition={"StringLike": {"s3:prefix": ["spark/*", "spark"]}},
            unused={"s3:ListBucket": _SERVICE},
        ),
        *_spark_logs(names),
        _key(names, ("s3",)),
    )


def _below_landing(names: Names) -> dict[str, dict[str, list[str]]]:
    return {"StringLike": {"s3:prefix": [f"{names.landing}*", names.landing.rstrip("/")]}}


def _spark_logs(names: Names) -> tuple[Statement, ...]:
    """Continuous logs of the job. The log groups are there before it begins, and keep to their own time."""
    groups = names.log_groups_of_spark()
    if not groups:
        return ()
    writing = ("logs:CreateLogStream", "logs:PutLogEvents")
    streams = Statement(
        "WriteLogs",
        writing,
        tuple(names.arn("logs", f"log-group:{group}:log-stream:*") for group in groups),
        "Continuous logs of the job.",
        wildcard=_STREAMS,
        unused=dict.fromkeys(writing, _SERVICE),
    )
    if names.parameters.backfill == "glue":
        encrypt = Statement(
            "EncryptLogs",
            ("logs:AssociateKmsKey",),
            tuple(names.arn("logs", f"log-group:{group}") for group in groups),
            "Glue gives the log groups their key again with each run.",
            unused={"logs:AssociateKmsKey": _SERVICE},
        )
        return streams, encrypt
    found = Statement(
        "FindLogs",
        ("logs:DescribeLogStreams",),
        tuple(names.arn("logs", f"log-group:{group}") for group in groups),
        "EMR looks which log streams there are.",
        unused={"logs:DescribeLogStreams": _SERVICE},
    )
    groups_found = Statement(
        "FindLogGroups",
        ("logs:DescribeLogGroups",),
        ("*",),
        "EMR looks whether the log group is there.",
        wildcard="Log groups are listed by prefix, which is no resource: AWS allows nothing but *.",
        unused={"logs:DescribeLogGroups": _SERVICE},
    )
    return streams, found, groups_found


def query(names: Names) -> tuple[Statement, ...]:
    """People and dashboards, by Athena: they read, and write nothing but their results."""
    return (
        Statement(
            "Ask",
            (
                "athena:StartQueryExecution",
                "athena:StopQueryExecution",
                "athena:GetQueryExecution",
                "athena:GetQueryResults",
                "athena:GetWorkGroup",
                "athena:ListNamedQueries",
                "athena:GetNamedQuery",
            ),
            (names.arn("athena", f"workgroup/{names.parameters.name}"),),
            "Queries run in this lake's workgroup, with its limit and its encrypted results.",
        ),
        Statement(
            "SeeTables",
            ("glue:GetDatabase", "glue:GetTable", "glue:GetTables"),
            tuple(names.catalog_arns),
            "Athena asks the catalog where a table's metadata lies.",
            wildcard=_TABLES,
            unused={"glue:GetTables": "Athena lists the tables for whoever types a query."},
        ),
        athenas_default(names),
        Statement(
            "ReadTables",
            ("s3:GetObject",),
            (names.objects_arn("warehouse"),),
            "Athena reads data and metadata with the role of whoever asks.",
            wildcard=_OBJECTS,
        ),
        Statement(
            "KeepResults",
            ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"),
            (names.objects_arn("results"),),
            "Athena writes results with the role of whoever asks, who then reads them.",
            wildcard="A result is named by the id of its query.",
        ),
        Statement(
            "FindFiles",
            ("s3:ListBucket", "s3:GetBucketLocation"),
            (names.bucket_arn("warehouse"), names.bucket_arn("results")),
            "Athena looks whether the buckets are in its region.",
        ),
        _key(names, ("s3",), {"kms:GenerateDataKey": "Athena encrypts results with it."}),
    )


def operate(names: Names) -> tuple[Statement, ...]:
    """People, by hand: they check the deployment, and recover the lake."""
    return (
        *looking(names),
        Statement(
            "TakeFromLanding",
            ("s3:GetObject", "s3:DeleteObjectVersion", "s3:ListBucketVersions"),
            (names.objects_arn("landing", names.landing), names.bucket_arn("landing")),
            "A recovery runs and archives as the listing does; a check takes its event back.",
            wildcard=TAKEN_BELOW,
        ),
        *without_versions(names),
        Statement(
            "Archive",
            ("s3:GetObject", "s3:PutObject", "s3:ListBucketVersions"),
            (names.objects_arn("archive"), names.bucket_arn("archive")),
            "A recovery lands again from the archive what bronze has lost.",
            wildcard="A place in the archive is named by its content.",
        ),
        *_tables(names, OPERATE),
        Statement(
            "EnterTables",
            ("glue:GetTables", "glue:DeleteTable"),
            tuple(names.catalog_arns),
            "A recovery lets the catalog name other metadata of a table: it takes it out and enters it again. Files stay.",
            wildcard=_TABLES,
        ),
        _key(names, ("s3",)),
    )


def _tables(names: Names, duty: str) -> tuple[Statement, ...]:
    """What every writer of tables needs. Nobody deletes a table."""
    return (
        Statement(
            "WriteTables",
            ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"),
            (names.objects_arn("warehouse"),),
            "Data files, manifests and metadata are written under new names, and read.",
            wildcard=_OBJECTS,
            unused={"s3:AbortMultipartUpload": _MULTIPART},
        ),
        Statement(
            "ListTables",
            ("s3:ListBucket",),
            (names.bucket_arn("warehouse"),),
            "Whether the lake is there yet, what a try that was broken off left behind; and without it S3 answers 403 instead of "
            "404, and a file that is missing looks like one that is forbidden.",
        ),
        Statement(
            "TakeFilesBack",
            ("s3:DeleteObject",),
            (names.objects_arn("warehouse"),),
            "Files of a commit that was refused, and those that no snapshot refers to any more. It hides them: the bucket keeps "
            "each version for its time, and no duty may delete those.",
            wildcard=_OBJECTS,
            unused={} if duty == MAINTENANCE else {"s3:DeleteObject": _FAILS},
        ),
        Statement(
            "CommitTables",
            ("glue:GetDatabase", "glue:GetTable", "glue:CreateTable", "glue:UpdateTable"),
            tuple(names.catalog_arns),
            "A commit swaps the location of a table's metadata in the catalog; a table that is missing is made.",
            wildcard=_TABLES,
            unused={"glue:CreateTable": _FIRST} if duty == MAINTENANCE else {},
        ),
        *_pseudonyms(names),
    )


def _pseudonyms(names: Names) -> tuple[Statement, ...]:
    secret = names.parameters.pseudonym_secret
    why = "Whoever writes rows makes pseudonyms under the key that this secret holds, and nobody else reads it."
    read = Statement("ReadPseudonymKey", ("secretsmanager:GetSecretValue",), (secret,), why)
    return (read,) if secret else ()


def _function(names: Names, duty: str) -> tuple[Statement, ...]:
    """What every function needs to be seen."""
    return (
        Statement(
            "WriteLogs",
            ("logs:CreateLogStream", "logs:PutLogEvents"),
            (names.arn("logs", f"log-group:{names.log_group(duty)}:log-stream:*"),),
            "Logs, and the metrics in them.",
            wildcard=_STREAMS,
            unused=dict.fromkeys(
                ("logs:CreateLogStream", "logs:PutLogEvents"),
                "The service that runs the function writes its output down.",
            ),
        ),
        Statement(
            "Trace",
            ("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
            ("*",),
            "Traces of runs.",
            wildcard="X-Ray has no resources that these actions could name: AWS allows nothing but *.",
            unused=dict.fromkeys(
                ("xray:PutTraceSegments", "xray:PutTelemetryRecords"), "The daemon beside the function sends traces."
            ),
        ),
    )


def _key(names: Names, services: tuple[str, ...], unused: Mapping[str, str] | None = None) -> Statement:
    return Statement(
        "UseKey",
        ("kms:Decrypt", "kms:GenerateDataKey"),
        (names.key_arn,),
        "Everything is encrypted with this key; the services use it in the name of whoever asks them.",
        unused=unused or {},
        condition={
            "StringEquals": {"kms:ViaService": [f"{service}.{names.region}.amazonaws.com" for service in services]}
        },
    )


def schedule_statements(names: Names) -> tuple[Statement, ...]:
    """What the schedules may do."""
    return (
        Statement(
            "Call",
            ("lambda:InvokeFunction",),
            (names.arn("lambda", f"function:{names.name('maintenance')}"),),
            "A schedule calls the function.",
            unused={"lambda:InvokeFunction": "The scheduler calls it; no flow of the lake does."},
        ),
    )
