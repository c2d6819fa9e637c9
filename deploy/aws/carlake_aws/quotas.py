"""What the account's quotas have to leave room for, asked before anything is made: Lambda's calls at a time.

Lambda keeps a number of them for functions that reserve none, and refuses a function's reservation that would leave fewer.
New accounts begin with small quotas, and CloudFormation would find that out with three stacks made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carlake_aws.account import Account
from carlake_aws.duties import INTAKE, MAINTENANCE
from carlake_aws.errors import DeployError
from carlake_aws.parameters import Parameters

MAINTENANCE_CALLS = 2
"""Calls of the function of maintenance at a time: the listing, and upkeep beside it."""
_UNRESERVED = 100


def reserved(parameters: Parameters) -> int:
    """How many calls at a time the functions keep to themselves."""
    return parameters.concurrency + MAINTENANCE_CALLS


def room_for_functions(account: Account, parameters: Parameters, told: Callable[[str], None]) -> None:
    """Look whether the functions' calls fit into the quota. Raises DeployError; what may not be seen is told."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = account.client("lambda")
    try:
        limit = client.get_account_settings()["AccountLimit"]
        own = sum(_reserved_now(client, f"{parameters.name}-{duty}") for duty in (INTAKE, MAINTENANCE))
    except (BotoCoreError, ClientError) as error:
        told(f"Lambda's quota could not be seen (lambda:GetAccountSettings), and may be too small: {error}")
        return
    quota, needed = int(limit["ConcurrentExecutions"]), reserved(parameters)
    free = int(limit["UnreservedConcurrentExecutions"]) + own
    if needed <= own or free - needed >= _UNRESERVED:
        return
    fits = free - _UNRESERVED - MAINTENANCE_CALLS
    lower = f"Set concurrency to {fits}, or ask" if fits >= 2 else "Ask"  # the least that the parameter takes
    raise DeployError(
        f"Lambda's quota of account {account.number} in {account.region} is {quota} calls at a time, of which other functions "
        f"reserve {quota - free}. {parameters.name} reserves {needed} (concurrency = {parameters.concurrency}, and "
        f"{MAINTENANCE_CALLS} for maintenance), and Lambda lets nobody reserve the last {_UNRESERVED}.",
        f"{lower} for {quota - free + needed + _UNRESERVED} or more: Service Quotas, AWS Lambda, Concurrent executions. "
        "Nothing was deployed.",
    )


def _reserved_now(client: Any, function: str) -> int:
    try:
        found = client.get_function_concurrency(FunctionName=function)
    except client.exceptions.ResourceNotFoundException:
        return 0
    return int(found.get("ReservedConcurrentExecutions", 0))
