"""What a parameter that is a text has to look like: regions, names, ARNs, folders, addresses."""

from __future__ import annotations

import difflib
import importlib.util
import re
from typing import Annotated

from pydantic import AfterValidator


def _like(pattern: str, wrong: str, *, needed: bool = False) -> AfterValidator:
    """A text of this form; one that is not `needed` may be empty."""

    def check(value: str) -> str:
        if (value or needed) and not re.fullmatch(pattern, value):
            raise ValueError(wrong)
        return value

    return AfterValidator(check)


def _known_region(value: str) -> str:
    known = regions()
    if known and value not in known:
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"boto3 knows no region {value}.{meant} If it is newer than boto3 is here: pip install --upgrade boto3"
        )
    return value


def regions() -> tuple[str, ...]:
    """Every region that botocore's own list has, with no network; none where it is not installed."""
    if importlib.util.find_spec("botocore") is None:
        return ()
    from botocore.loaders import create_loader

    partitions = create_loader().load_data("partitions")["partitions"]
    return tuple(sorted(region for partition in partitions for region in partition["regions"]))


def region_of(arn: str) -> str:
    """The region that an ARN names."""
    return arn.split(":")[3]


Region = Annotated[
    str,
    _like(r"[a-z]{2,}(-[a-z]+)+-\d+", "it is no region, such as eu-west-1", needed=True),
    AfterValidator(_known_region),
]
Bucket = Annotated[str, _like(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "it is no name of a bucket")]
Database = Annotated[
    str,
    _like(
        r"[a-z][a-z0-9_]{0,127}",
        "a database that Athena reads has lower-case letters, digits and _, and begins with a letter",
    ),
]
Key = Annotated[
    str,
    _like(
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+",
        "it is no ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID); an alias will not do",
    ),
]
Secret = Annotated[
    str,
    # Without the suffix a policy that names it gives no access to the secret.
    _like(
        r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+-[A-Za-z0-9]{6}",
        "it is no ARN of a secret with its suffix (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX); AWS made the SUFFIX of "
        "six characters, and `aws secretsmanager describe-secret --secret-id NAME --query ARN` shows it",
    ),
]
# It stands in policies, where *, ? and $ mean more than themselves, and below it nobody else's may lie.
Folder = Annotated[
    str,
    _like(
        r"(?=.{1,200}\Z)[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*",
        "it is no folder, such as in or raw/cars: letters, digits and ._=- between single slashes, none at the "
        "ends; a whole bucket is none either",
        needed=True,
    ),
]

NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
"""A part of names, buckets' among them."""
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(role|user|root)\S*")
EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>.]+")
