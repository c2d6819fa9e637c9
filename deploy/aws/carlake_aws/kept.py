"""What a deployment of the same name left when it was removed: its data, which stays, and which the next one takes up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from carlake_aws.account import Account
from carlake_aws.errors import DeployError
from carlake_aws.names import BUCKETS
from carlake_aws.parameters import Parameters

_NEVER_MADE = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
_NOT_THERE = ("404", "NoSuchBucket", "NotFound", "EntityNotFoundException")
_NO_KEY = "ServerSideEncryptionConfigurationNotFoundError"


@dataclass(frozen=True)
class Kept:
    """What is there, and in no stack.

    buckets   by their names
    database  in the Glue catalog; "" for none
    key_arn   the key that the buckets encrypt with; "" for none
    """

    buckets: tuple[str, ...] = ()
    database: str = ""
    key_arn: str = ""


def taken_up(account: Account, parameters: Parameters) -> Kept:
    """What is left of an earlier deployment, once the parameters say that it is to be taken up. Raises DeployError before.

    CloudFormation makes a bucket that is there part of its stack. A key it would make anew, and what the old one encrypted
    could not be read; so the parameters have to name the old one, and the database.
    """
    found = _left(account, parameters)
    wanted = {"existing_key": found.key_arn, "existing_database": found.database}
    lines = [f'{key} = "{value}"' for key, value in wanted.items() if value and getattr(parameters, key) != value]
    if lines:
        there = [*found.buckets, *([f"database {found.database}"] if found.database else [])]
        raise DeployError(
            f"{parameters.name} was here before, and its data stayed: {', '.join(there)}.",
            f"To take it up again, add to the parameters: {', '.join(lines)}. To begin anew, remove it for good with "
            f"`carlake deploy destroy --with-data {parameters.name}`, or set another environment.",
        )
    return found


def key_of(account: Account, buckets: Iterable[str]) -> str:
    """The ARN of the key that these buckets encrypt with; "" for none. Raises DeployError where that may not be seen."""
    return next((arn for bucket in buckets for arn in _keys(account, bucket) if arn.startswith("arn:")), "")


def buckets_of(account: Account, parameters: Parameters) -> tuple[str, ...]:
    """The deployment's own buckets that are there."""
    names = account.names(parameters)
    own = [kind for kind in BUCKETS if kind != "landing" or not parameters.existing_landing_bucket]
    return tuple(
        names.bucket(kind) for kind in own if _is_there(account, "s3", "head_bucket", Bucket=names.bucket(kind))
    )


def database_of(account: Account, parameters: Parameters) -> str:
    """The deployment's own database, where it is there; "" for none."""
    there = not parameters.existing_database and _is_there(account, "glue", "get_database", Name=parameters.database)
    return parameters.database if there else ""


def _left(account: Account, parameters: Parameters) -> Kept:
    buckets: tuple[str, ...] = ()
    database = ""
    if not _stands(account, f"{parameters.name}-storage"):
        buckets = buckets_of(account, parameters)
    if not _stands(account, f"{parameters.name}-catalog"):
        database = database_of(account, parameters)
    return Kept(buckets, database, key_of(account, buckets))


def _stands(account: Account, stack: str) -> bool:
    """Whether a stack was ever made whole: what one that was not was to take up is in none."""
    found = account.stack(stack)
    return found is not None and found["StackStatus"] not in _NEVER_MADE


def _keys(account: Account, bucket: str) -> list[str]:
    told = _seen(account, f"With what key {bucket} encrypts", "s3", "get_bucket_encryption", Bucket=bucket)
    rules: list[dict[str, Any]] = told["ServerSideEncryptionConfiguration"]["Rules"] if told else []
    return [str(rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID", "")) for rule in rules]


def _is_there(account: Account, service: str, look: str, **what: str) -> bool:
    (name,) = what.values()
    return _seen(account, f"Whether {name} is there", service, look, **what) is not None


def _seen(account: Account, question: str, service: str, look: str, **what: str) -> dict[str, Any] | None:
    """What a look tells; None where there is nothing. What cannot be seen is not taken for gone: DeployError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found: dict[str, Any] = getattr(account.client(service), look)(**what)
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in (*_NOT_THERE, _NO_KEY):
            return None
        raise DeployError(f"{question} could not be seen: {error}", "See what your role may do.") from None
    return found
