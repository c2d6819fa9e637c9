"""An application of EMR Serverless on moto, as a deployment has it, with a job that runs for as long as a test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from carlake_aws.parameters import Parameters

from servers import moto
from servers.faults import Answered, Request, failing

RUN = "00f1run"


def application(server: moto.Server, parameters: Parameters) -> str:
    """One that is started, of a stack `compute` that is deployed."""
    stacks, client = server.client("cloudformation"), server.client("emr-serverless")
    made = {"Type": "AWS::EMRServerless::Application", "Properties": {"Type": "SPARK", "ReleaseLabel": "emr-7.13.0"}}
    body = json.dumps({"Resources": {"Application": made}})
    stacks.create_stack(StackName=f"{parameters.name}-compute", TemplateBody=body)
    number = client.create_application(
        name=f"{parameters.name}-backfill", releaseLabel="emr-7.13.0", type="SPARK", clientToken=parameters.name
    )["applicationId"]
    client.start_application(applicationId=number)
    return str(number)


@contextmanager
def running(server: moto.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Within, a job runs on every application as long as the list has it: moto's are over at once."""
    runs = [RUN]

    def answer(request: Request, _: bytes) -> Answered | None:
        if not request.path.endswith("/jobruns"):
            return None
        found = [{"id": run, "state": "RUNNING"} for run in runs if "RUNNING" in request.query["states"]]
        return {"content-type": "application/json"}, json.dumps({"jobRuns": found}).encode()

    with failing(server.endpoint) as proxy, monkeypatch.context() as patched:
        proxy.instead = answer
        patched.setenv("AWS_ENDPOINT_URL_EMR_SERVERLESS", proxy.endpoint)
        yield runs


def state_of(server: moto.Server, number: str) -> str:
    found = server.client("emr-serverless").get_application(applicationId=number)
    return str(found["application"]["state"])
