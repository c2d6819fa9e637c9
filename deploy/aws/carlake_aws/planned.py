"""`carlake deploy plan`: what will be made, what that changes in what is there, what is lost by it, and what it costs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carlake_aws.account import Account, signed_in
from carlake_aws.changes import Change, compared, deployed, refuse_another_key
from carlake_aws.contents import Contents, contents
from carlake_aws.costs import Costs, costs
from carlake_aws.errors import NoCredentialsError, NotReachedError
from carlake_aws.names import STACKS
from carlake_aws.parameters import Parameters
from carlake_aws.prices import Prices
from carlake_aws.templates import synthesize

DEFAULT_EVENTS = 100_000
"""A day."""


@dataclass(frozen=True)
class Plan:
    """What a deployment comes to.

    compared_with  the account and region that it was compared with; "" where nobody is signed in
    alone          why it was compared with nothing
    running        hash of the code that runs there now; "" where none does
    changes        how it differs from what is there; everything is made where nothing is
    """

    name: str
    region: str
    compared_with: str
    alone: str
    running: str
    stacks: tuple[Contents, ...]
    changes: tuple[Change, ...]
    costs: Costs | None

    @property
    def losses(self) -> tuple[Change, ...]:
        """What would be lost, or left behind where nothing looks."""
        return tuple(change for change in self.changes if change.lost)


def plan(parameters: Parameters, events_per_day: int, prices: Prices) -> Plan:
    """What `apply` would do, and what it costs. Changes nothing. Raises DeployError."""
    try:
        account: Account | None = signed_in(parameters.region)
        alone = ""
    except (NoCredentialsError, NotReachedError) as error:
        account, alone = None, error.what
    with tempfile.TemporaryDirectory(prefix="carlake-plan-") as folder:
        wanted = templates_of(parameters, Path(folder))
    return planned(parameters, wanted, account, alone, costs(parameters, events_per_day, prices))


def planned(
    parameters: Parameters,
    wanted: dict[str, dict[str, Any]],
    account: Account | None,
    alone: str = "",
    cost: Costs | None = None,
) -> Plan:
    """The plan of these templates, next to what an account has. Raises DeployError for what CloudFormation would refuse."""
    facts = facts_of(account, parameters)
    stacks = {holds: f"{parameters.name}-{holds}" for holds in STACKS}
    there = deployed(account, stacks) if account is not None else {}
    refuse_another_key(parameters.name, wanted, there)
    return Plan(
        parameters.name,
        parameters.region,
        f"account {account.number}, {account.region}" if account else "",
        alone,
        running_code(account, parameters) if account and "compute" in there else "",
        tuple(contents(holds, stacks[holds], template, facts) for holds, template in wanted.items()),
        tuple(compared(wanted, there, facts)),
        cost,
    )


def templates_of(parameters: Parameters, folder: Path, *, checked: bool = False) -> dict[str, dict[str, Any]]:
    """The templates, by what they hold, synthesized into a folder. Raises FindingsError where they are checked."""
    files = synthesize(parameters, folder, checked=checked)
    return {holds: json.loads(file.read_text(encoding="utf-8")) for holds, file in files.items()}


def templates_in(folder: Path, parameters: Parameters) -> dict[str, dict[str, Any]]:
    """The templates that were synthesized into a folder, by what they hold, in order."""
    files = {holds: folder / f"{parameters.name}-{holds}.template.json" for holds in STACKS}
    return {holds: json.loads(file.read_text(encoding="utf-8")) for holds, file in files.items() if file.exists()}


def facts_of(account: Account | None, parameters: Parameters) -> dict[str, str]:
    """What pseudo-parameters come to, as far as it is known."""
    facts = {"AWS::Region": parameters.region, "AWS::Partition": "aws"}
    return facts | ({"AWS::AccountId": account.number, "AWS::Partition": account.partition} if account else {})


def running_code(account: Account, parameters: Parameters) -> str:
    """The hash of the code that the function of intake runs; "" where there is no function, or none may be seen."""
    try:
        found = account.client("lambda").get_function_configuration(FunctionName=f"{parameters.name}-intake")
    except Exception:  # noqa: BLE001  (it is told beside the plan; `check` says what is wrong)
        return ""
    return str(found.get("Environment", {}).get("Variables", {}).get("CARLAKE_CODE", ""))
