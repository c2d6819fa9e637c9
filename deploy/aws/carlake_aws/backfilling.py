"""The backfill as it stands in an account: a job of Glue, or an application of EMR Serverless."""

from __future__ import annotations

import re

from carlake_aws.account import Account
from carlake_aws.duties import BACKFILL
from carlake_aws.names import PACKAGES, Names

_HASH = re.compile(rf"/{PACKAGES}/carlake-[^/]+-([0-9a-f]{{16}})/")
# Applications that were deleted are listed for a while.
_GONE = ("TERMINATED",)


def code_of_backfill(account: Account, names: Names) -> str | None:
    """The hash of the code that it runs, "" where it does not say; None where there is none. Raises botocore's errors."""
    name = names.name(BACKFILL)
    if names.parameters.backfill == "glue":
        found = account.client("glue").get_job(JobName=name)["Job"]
        return str(found.get("DefaultArguments", {}).get("--code", ""))
    emr, number = account.client("emr-serverless"), application(account, names)
    return _of_application(emr.get_application(applicationId=number)["application"]) if number else None


def application(account: Account, names: Names) -> str:
    """The id of the application of EMR Serverless; "" where there is none. Raises botocore's errors."""
    for page in account.client("emr-serverless").get_paginator("list_applications").paginate():
        for one in page["applications"]:
            if one["name"] == names.name(BACKFILL) and one["state"] not in _GONE:
                return str(one["id"])
    return ""


def _of_application(application: dict[str, object]) -> str:
    """Its environment lies in a folder whose name ends with the hash."""
    found = _HASH.search(str(application.get("runtimeConfiguration", "")))
    return found[1] if found else ""
