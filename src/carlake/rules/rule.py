"""An alert rule: which silver column breaks which threshold, and how bad that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Tier:
    """One threshold of a rule. `operator` is `>` or `<`; both are strict."""

    operator: Literal["<", ">"]
    threshold: float
    severity: Literal["CRITICAL", "WARNING"]


@dataclass(frozen=True)
class AlertRule:
    """One rule: at most one alert per event, of the worst tier that the value breaks.

    `unless_column = unless_equals` switches the rule off for a row (a car without a tank has no low fuel).
    """

    type: str
    title: str
    column: str
    unit: str
    tiers: tuple[Tier, ...]
    unless_column: str = ""
    unless_equals: float = 0.0

    @property
    def below(self) -> bool:
        return self.tiers[0].operator == "<"

    @property
    def worst_first(self) -> tuple[Tier, ...]:
        """Tiers from the farthest threshold to the nearest: the first that the value breaks is the worst."""
        return tuple(sorted(self.tiers, key=lambda tier: tier.threshold, reverse=not self.below))
