"""A permission as this project writes it: with what it is for, and why a wildcard is in it where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TAKEN_BELOW = "Whoever sends events chooses their names; only those below the prefix are taken."
TRIALS_ALONE = "Each trial's object has a name of its own; nothing else begins so."
"""Why a resource ends in `*`, where several statements have the same reason."""


@dataclass(frozen=True)
class Statement:
    """What a duty may do.

    sid        names it, within its duty
    reason     what needs it
    wildcard   why a resource ends in `*`; "" where none does
    condition  as IAM has them
    unused     actions that the tested flows do not use, with the reason why they are allowed all the same
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    reason: str
    wildcard: str = ""
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any("*" in action for action in self.actions):
            raise ValueError(f"{self.sid}: actions are named one by one")
        if any("*" in resource for resource in self.resources) != bool(self.wildcard):
            raise ValueError(f"{self.sid}: a resource with a wildcard has its reason, and only such a one")
        if not self.reason:
            raise ValueError(f"{self.sid}: what is it for?")
        if set(self.unused) - set(self.actions):
            raise ValueError(f"{self.sid}: the unused actions are some of its own")

    def document(self) -> dict[str, Any]:
        """The statement as a policy document holds it."""
        found: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return found | ({"Condition": dict(self.condition)} if self.condition else {})
