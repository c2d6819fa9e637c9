"""What the calls of a flow ask of IAM: each request that came through the proxy, as actions on resources.

Of S3 by method and path, of services that speak JSON by the target that they name. What S3 asks of the key in the caller's
name does not pass the proxy; it follows from what was read and written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from carlake_aws.names import Names

from servers.faults import Request


@dataclass(frozen=True, order=True)
class Asked:
    """One action on one resource; `via` is the service that asks in the caller's name; `prefix`, of a listing."""

    action: str
    resource: str
    via: str = ""
    prefix: str = ""


class UnknownCallError(Exception):
    """A request of which it is not known what it asks of IAM."""


def asked(requests: Iterable[Request], names: Names) -> set[Asked]:
    """What all these requests ask. Raises UnknownCallError, so that no call goes by unseen."""
    return {one for request in requests for one in _asked(request, names)}


def _asked(request: Request, names: Names) -> list[Asked]:
    service = _service(request)
    if service == "s3":
        return _of_s3(request, names)
    target = request.headers.get("x-amz-target", "").rpartition(".")[2]
    if (service, target) == ("glue", "GetJob"):
        return [Asked("glue:GetJob", names.arn("glue", f"job/{names.name('backfill')}"))]
    if service == "glue" and target:
        # The body names database and table; Glue checks catalog, database and table alike.
        return [Asked(f"glue:{target}", arn.replace("/*", "/some_table")) for arn in names.catalog_arns]
    if service == "sqs" and target:
        action = target.removesuffix("Batch")
        return [Asked(f"sqs:{action}", names.arn("sqs", names.queue))]
    if service == "sts":
        return []  # who one is, everybody may ask
    if (service, target) in _OF_CHECKS:
        return [Asked(f"{service}:{target}", _OF_CHECKS[service, target](names))]
    if service in ("lambda", "scheduler"):
        return [_of_rest(service, request, names)]
    raise UnknownCallError(f"{service} {request.method} {request.path} {target}")


# What the resource of a call is that has it in its body: those that are asked about by name or id are the deployment's own.
_OF_CHECKS: dict[tuple[str, str], Callable[[Names], str]] = {
    ("kms", "DescribeKey"): lambda names: names.key_arn,
    ("logs", "FilterLogEvents"): lambda names: names.arn("logs", f"log-group:{names.log_group('intake')}"),
    **{
        ("athena", action): lambda names: names.arn("athena", f"workgroup/{names.parameters.name}")
        for action in ("GetWorkGroup", "StartQueryExecution", "GetQueryExecution", "GetQueryResults")
    },
}


def _of_rest(service: str, request: Request, names: Names) -> Asked:
    """A call of a service that tells by method and path what is asked."""
    path = request.path.rstrip("/")
    if service == "lambda" and request.method == "GET":
        if path.endswith("/event-source-mappings"):
            return Asked("lambda:ListEventSourceMappings", "*")
        if found := re.search(r"/functions/([^/]+)/configuration$", path):
            return Asked("lambda:GetFunctionConfiguration", names.arn("lambda", f"function:{found[1]}"))
    if service == "lambda" and (found := re.search(r"/functions/([^/]+)/invocations$", path)):
        return Asked("lambda:InvokeFunction", names.arn("lambda", f"function:{found[1]}"))
    if service == "scheduler" and request.method == "GET" and path.endswith("/schedules"):
        return Asked("scheduler:ListSchedules", "*")
    raise UnknownCallError(f"{service} {request.method} {request.path}")


def _service(request: Request) -> str:
    found = re.search(r"Credential=[^/]+/\d+/[^/]+/([a-z0-9-]+)/", request.headers.get("authorization", ""))
    if found is None:
        raise UnknownCallError(f"{request.method} {request.path} is not signed")
    return found[1]


def _of_s3(request: Request, names: Names) -> list[Asked]:
    bucket, _, key = request.path.strip("/").partition("/")
    place = f"arn:{names.partition}:s3:::{bucket}"
    prefix = request.query.get("prefix", [""])[0]
    thing = f"{place}/{key}"
    version = "Version" if "versionId" in request.query else ""
    reads = [Asked("kms:Decrypt", names.key_arn, "s3")]
    writes = [Asked("kms:GenerateDataKey", names.key_arn, "s3")]
    operation = request.operation
    if operation == "HEAD":
        return [Asked("s3:ListBucket", place)]
    if "notification" in request.query and operation == "GET":
        return [Asked("s3:GetBucketNotification", place)]
    if operation == "ListObjectsV2":
        return [Asked("s3:ListBucket", place, prefix=prefix)]
    if operation == "ListObjectVersions":
        return [Asked("s3:ListBucketVersions", place, prefix=prefix)]
    if operation in ("GetObject", "HeadObject") and key:
        return [Asked(f"s3:GetObject{version}", thing), *reads]
    if operation in ("PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"):
        return [Asked("s3:PutObject", thing), *writes, *(reads if operation != "PutObject" else ())]
    if operation in ("CopyObject", "UploadPartCopy"):
        source, _, of = unquote(request.headers["x-amz-copy-source"]).partition("?")
        read = Asked(f"s3:GetObject{'Version' if of else ''}", f"arn:{names.partition}:s3:::{source.lstrip('/')}")
        return [read, Asked("s3:PutObject", thing), *reads, *writes]
    if operation == "DeleteObject":
        return [Asked(f"s3:DeleteObject{version}", thing)]
    if operation == "DeleteObjects":
        return [Asked("s3:DeleteObject", f"{place}/some-key")]
    if operation == "AbortMultipartUpload":
        return [Asked("s3:AbortMultipartUpload", thing)]
    raise UnknownCallError(f"s3 {operation} {request.path} {request.query}")
