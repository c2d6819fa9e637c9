"""Whether an account lets as many calls run at a time as the functions reserve: asked before anything is built or made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.account import signed_in
from carlake_aws.applied import Deployment
from carlake_aws.errors import DeployError
from carlake_aws.parameters import Parameters
from carlake_aws.quotas import reserved, room_for_functions
from carlake_aws.templates import resources

from aws.account import own_parameters
from aws.conftest import Template
from servers import moto
from servers.faults import Answered, Fault, Request, failing


@pytest.fixture(scope="module")
def server() -> Iterator[moto.Server]:
    with moto.running() as found:
        yield found


@pytest.fixture(autouse=True)
def credentials(server: moto.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@contextmanager
def quota(server: moto.Server, monkeypatch: pytest.MonkeyPatch, most: int, free: int, own: int = 0) -> Iterator[None]:
    """Lambda with this quota, of which so many are free: moto knows none. Each own function has half of `own`."""

    def answer(request: Request, _: bytes) -> Answered | None:
        told: dict[str, Any]
        if request.path.rstrip("/").endswith("/account-settings"):
            told = {"AccountLimit": {"ConcurrentExecutions": most, "UnreservedConcurrentExecutions": free}}
        elif own and request.path.endswith("/concurrency"):
            told = {"ReservedConcurrentExecutions": own // 2}
        else:
            return None
        return {"content-type": "application/json"}, json.dumps(told).encode()

    with failing(server.endpoint) as proxy:
        proxy.instead = answer
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", proxy.endpoint)
        yield


def _parameters(**more: Any) -> Parameters:
    return own_parameters().model_copy(update={"region": moto.REGION, **more})


def test_what_is_reckoned_is_what_the_functions_reserve(templates: dict[str, Template]) -> None:
    functions = resources(templates["compute"], "AWS::Lambda::Function").values()
    assert sum(one["Properties"]["ReservedConcurrentExecutions"] for one in functions) == reserved(Parameters())


def test_too_small_a_quota_is_refused_before_anything_is_built(
    server: moto.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()
    with quota(server, monkeypatch, most=10, free=10), pytest.raises(DeployError) as raised:
        Deployment.prepared(_parameters(), tmp_path, told.append)
    assert told == [] and list(tmp_path.iterdir()) == []
    assert "is 10 calls at a time" in raised.value.what and "reserves 4" in raised.value.what
    assert raised.value.advice.startswith("Ask for 104 or more: Service Quotas"), "no smaller concurrency would do"


@pytest.mark.parametrize(
    ("concurrency", "free", "own", "advice"),
    [
        (2, 104, 0, ""),
        (2, 103, 0, "Ask for 1001 or more"),
        (20, 110, 0, "Set concurrency to 8, or ask for 1012 or more"),
        # What runs already has its part: the same again takes nothing, and more only the difference.
        (2, 100, 4, ""),
        (4, 102, 4, ""),
        (4, 101, 4, "Set concurrency to 3, or ask for 1001 or more"),
        # An account whose quota was lowered since is no reason to refuse what takes nothing.
        (2, 50, 4, ""),
    ],
)
def test_what_is_left_to_others_counts(
    concurrency: int, free: int, own: int, advice: str, server: moto.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = _parameters(concurrency=concurrency)
    told = list[str]()
    with quota(server, monkeypatch, most=1000, free=free, own=own):
        if not advice:
            room_for_functions(signed_in(moto.REGION), parameters, told.append)
            assert told == []
            return
        with pytest.raises(DeployError) as raised:
            room_for_functions(signed_in(moto.REGION), parameters, told.append)
    assert raised.value.advice.startswith(f"{advice}")


def test_a_quota_that_may_not_be_seen_is_told_and_refuses_nothing(
    server: moto.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()
    with failing(server.endpoint, Fault("status", path="account-settings", status=403)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", proxy.endpoint)
        room_for_functions(signed_in(moto.REGION), _parameters(), told.append)
    assert len(told) == 1 and "lambda:GetAccountSettings" in told[0]
