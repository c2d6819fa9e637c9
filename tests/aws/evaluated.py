"""What a role's statements say about a call: actions and resources by moto's evaluator of policies, conditions by ours.

moto's knows the conditions of trust policies alone; those here are of two operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from carlake_aws.names import Names
from carlake_aws.statements import Statement
from moto.iam.access_control import IAMPolicyStatement, PermissionResult

from aws.recorded import Asked


def allows(statements: Sequence[Statement], call: Asked, names: Names) -> bool:
    """Whether one of the statements allows the call; none of them denies anything."""
    return any(_allows(one, call, names) for one in statements)


def _allows(statement: Statement, call: Asked, names: Names) -> bool:
    document = {key: value for key, value in statement.document().items() if key != "Condition"}
    # A name may hold what moto would take for part of a pattern.
    told = IAMPolicyStatement(document).is_action_permitted(call.action, call.resource)
    return told == PermissionResult.PERMITTED and all(
        _holds(operator, key, wanted, call, names)
        for operator, keys in statement.condition.items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, key: str, wanted: str | list[str], call: Asked, names: Names) -> bool:
    given = {
        "s3:prefix": call.prefix,
        "kms:ViaService": f"{call.via}.{names.region}.amazonaws.com" if call.via else "",
    }
    if key not in given or operator not in ("StringEquals", "StringLike"):
        raise NotImplementedError(f"{operator} {key}")
    patterns = [wanted] if isinstance(wanted, str) else wanted
    if operator == "StringEquals":
        return given[key] in patterns
    return any(fnmatchcase(given[key], pattern) for pattern in patterns)
