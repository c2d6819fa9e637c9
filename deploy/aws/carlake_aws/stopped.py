"""The application of EMR Serverless at rest: it is changed and deleted by AWS only where it is stopped, or never ran."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from carlake_aws.account import Account
from carlake_aws.backfilling import application
from carlake_aws.changes import deployed
from carlake_aws.errors import DeployError
from carlake_aws.parameters import Parameters

APPLICATION = "AWS::EMRServerless::Application"
"""As CloudFormation calls its kind."""

_AT_REST = ("CREATED", "STOPPED", "TERMINATED")
_NOT_OVER = ("SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "QUEUED", "CANCELLING")
_LONGEST_STOP_SECONDS, _LOOK_SECONDS = 600, 5


class Application:
    """The one that is deployed; whichever kind the parameters choose now, CloudFormation has to change or remove it."""

    def __init__(self, account: Account, parameters: Parameters, told: Callable[[str], None]) -> None:
        """Looks for it where the deployed templates have one. Raises DeployError."""
        self._account, self._names, self._told = account, account.names(parameters), told
        there = deployed(account, {"compute": f"{parameters.name}-compute"}).get("compute", {})
        kinds = {one["Type"] for one in there.get("Resources", {}).values()}
        self._id = ""
        if APPLICATION in kinds:
            with _seen():
                self._id = application(account, self._names)

    def refuse_while_running(self) -> None:
        """Raises DeployError where a job is not over."""
        if not self._id:
            return
        with _seen():
            if self._state() in _AT_REST:
                return
            pages = self._account.client("emr-serverless").get_paginator("list_job_runs")
            found = pages.paginate(applicationId=self._id, states=list(_NOT_OVER))
            runs = [f"{one['id']} ({one['state'].lower()})" for page in found for one in page["jobRuns"]]
        if runs:
            raise DeployError(
                f"A backfill runs on the application {self._id} of EMR Serverless: {', '.join(runs)}. AWS changes or removes "
                "an application only when it is stopped.",
                "Wait until it is over, or cancel it: `aws emr-serverless cancel-job-run --application-id "
                f"{self._id} --job-run-id ID`. Then give the command again.",
            )

    def stop(self) -> None:
        """Wait until it is at rest. Raises DeployError where a job is not over, or it does not stop."""
        self.refuse_while_running()
        if not self._id:
            return
        emr, until, asked = self._account.client("emr-serverless"), time.monotonic() + _LONGEST_STOP_SECONDS, False
        with _seen():
            while (state := self._state()) not in _AT_REST:
                if state == "STARTED" and not asked:
                    self._told(f"the application {self._id} of EMR Serverless: stopping")
                    emr.stop_application(applicationId=self._id)
                    asked = True
                    continue
                if time.monotonic() > until:
                    raise DeployError(
                        f"The application {self._id} of EMR Serverless is {state.lower()} and does not stop.",
                        "See it in the console of EMR; then give the command again.",
                    )
                time.sleep(_LOOK_SECONDS)

    def _state(self) -> str:
        found = self._account.client("emr-serverless").get_application(applicationId=self._id)
        return str(found["application"]["state"])


@contextmanager
def _seen() -> Iterator[None]:
    """Errors of AWS as ours."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"The application of EMR Serverless could not be looked at or stopped: {error}",
            "Your own role needs emr-serverless:ListApplications, GetApplication, ListJobRuns and StopApplication.",
        ) from None
