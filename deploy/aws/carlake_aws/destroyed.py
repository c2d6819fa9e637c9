"""`carlake deploy destroy`: the stacks go; buckets, the key and the catalog stay, unless all data is to go with them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carlake_aws.account import Account, signed_in
from carlake_aws.cdk import Cdk
from carlake_aws.duties import DEPLOY
from carlake_aws.errors import DeployError
from carlake_aws.kept import buckets_of, database_of, key_of
from carlake_aws.names import STACKS
from carlake_aws.parameters import Parameters
from carlake_aws.planned import templates_of
from carlake_aws.stopped import Application

Told = Callable[[str], None]

_PROTECTED = ("foundation", "storage", "catalog")
_DAYS_OF_THE_KEY = 30
_GOES_ON = "What is gone is gone; the same command goes on."


@dataclass(frozen=True)
class Removal:
    """What goes and what stays. `stacks` in the order in which they go."""

    name: str
    account: str
    region: str
    stacks: tuple[str, ...]
    goes: tuple[str, ...]
    stays: tuple[str, ...]


class Destruction:
    """One deployment that is to go. Looks only, until `run`."""

    def __init__(self, parameters: Parameters, *, with_data: bool = False, told: Told = lambda line: None) -> None:
        """Raises DeployError where nothing of this name is there."""
        self.parameters, self._with_data, self._told = parameters, with_data, told
        self.account: Account = signed_in(parameters.region)
        there = [holds for holds in STACKS if self.account.stack(f"{parameters.name}-{holds}") is not None]
        self._holds = there[::-1]
        self._buckets = buckets_of(self.account, parameters)
        # Its alias goes with the stack, so it is looked up before.
        self._key = "" if parameters.existing_key else self._find_key()
        data = self._data()
        if not there and not (with_data and data):
            raise DeployError(
                f"Nothing of {parameters.name} is in {parameters.region} of account {self.account.number}.",
                "See prefix, environment and region in the parameters.",
            )
        self.removal = Removal(
            parameters.name,
            self.account.number,
            parameters.region,
            tuple(f"{parameters.name}-{holds}" for holds in self._holds),
            ("functions, queues with their messages, schedules, alarms, the workgroup, logs and roles",)
            + (tuple(data) if with_data else ()),
            () if with_data else tuple(data),
        )

    def run(self) -> None:
        """Remove it. What was done stays done, and the same command goes on. Raises DeployError."""
        with tempfile.TemporaryDirectory(prefix="carlake-destroy-") as folder:
            if self._holds:
                templates_of(self.parameters, Path(folder))
            self._remove_stacks(Cdk(Path(folder), self.parameters.region, self._told))
        if self._with_data:
            self._remove_data()

    def _remove_stacks(self, cdk: Cdk) -> None:
        names = self.account.names(self.parameters)
        application = Application(self.account, self.parameters, self._told)
        application.refuse_while_running()
        for holds in self._holds:
            if holds == "compute":
                application.stop()
            stack = f"{self.parameters.name}-{holds}"
            if holds in _PROTECTED:
                self.account.client("cloudformation").update_termination_protection(
                    StackName=stack, EnableTerminationProtection=False
                )
            # The role that removes the others goes last itself, with the rights of whoever asks.
            cdk.destroy([stack], role="" if holds == "foundation" else names.role_arn(DEPLOY))

    def _data(self) -> list[str]:
        found = [f"bucket {bucket}" for bucket in self._buckets]
        if database := database_of(self.account, self.parameters):
            found.append(f"database {database} with its tables, in the Glue catalog")
        if self._key:
            found.append(f"key {self._key}")
        return found

    def _find_key(self) -> str:
        try:
            found = self.account.client("kms").describe_key(KeyId=f"alias/{self.parameters.name}")
        except Exception:  # noqa: BLE001  (gone with the stack, or not to be seen)
            return key_of(self.account, self._buckets)
        return str(found["KeyMetadata"]["Arn"])

    def _remove_data(self) -> None:
        """The objects, then the key, then the empty buckets.

        With its alias gone the buckets alone name the key, so they are there until its deletion is scheduled. Deleting an
        object needs no key.
        """
        s3, glue = self.account.client("s3"), self.account.client("glue")
        for bucket in self._buckets:
            self._told(f"{bucket}: every version of every object")
            _empty(s3, bucket)
        if not self.parameters.existing_database:
            with suppress(glue.exceptions.EntityNotFoundException):
                glue.delete_database(Name=self.parameters.database)
        if self._key:
            self._schedule_the_key()
        for bucket in self._buckets:
            _empty(s3, bucket)  # what came meanwhile, such as S3's own record of the above
            _done(f"{bucket}, which is empty,", s3.delete_bucket, Bucket=bucket)

    def _schedule_the_key(self) -> None:
        kms, what = self.account.client("kms"), f"The key {self._key}"
        found = _done(what, kms.describe_key, KeyId=self._key)
        if found["KeyMetadata"]["KeyState"] in ("PendingDeletion", "PendingReplicaDeletion"):
            return
        self._told(f"key: can be had back for {_DAYS_OF_THE_KEY} days")
        number = found["KeyMetadata"]["KeyId"]
        _done(what, kms.schedule_key_deletion, KeyId=number, PendingWindowInDays=_DAYS_OF_THE_KEY)


def _empty(s3: Any, bucket: str) -> None:
    for versions in _versions(s3, bucket):
        failed = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True}).get("Errors")
        if failed:
            raise DeployError(f"{bucket}: {failed[0]}", _GOES_ON)


def _done(what: str, call: Callable[..., Any], **given: Any) -> Any:
    """A call's answer. Raises DeployError where AWS refuses it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call(**given)
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"{what} could not be removed: {error}", _GOES_ON) from None


def _versions(s3: Any, bucket: str) -> Iterator[list[dict[str, str]]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if found:
            yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
