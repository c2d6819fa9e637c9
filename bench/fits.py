"""Straight lines through measurements: what a thing costs at all, and for each more of what it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fit:
    """One law, `y = fixed + each * x`, with the points that it was fitted to.

    law    its name
    y, x   what was measured, and what it depends on
    unit   of y, as it is shown: `s`, `ms`, `B` ...
    scale  what a value is multiplied by to be in that unit
    """

    law: str
    y: str
    x: str
    unit: str
    scale: float
    points: tuple[tuple[float, float], ...]
    fixed: float
    each: float

    @property
    def residuals(self) -> tuple[float, ...]:
        """At each point: how much more was measured than the law says, as a share of what it says."""
        return tuple((y - self.at(x)) / self.at(x) if self.at(x) else 0.0 for x, y in self.points)

    def at(self, x: float) -> float:
        """What the law says."""
        return self.fixed + self.each * x

    def document(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "law": self.law,
            "y": self.y,
            "x": self.x,
            "fixed": self.fixed,
            "each": self.each,
            "points": [{"x": x, "y": y, "residual": r} for (x, y), r in zip(self.points, self.residuals, strict=True)],
        }


def fit(law: str, y: str, x: str, points: Sequence[tuple[float, float]], unit: str = "s", scale: float = 1.0) -> Fit:
    """The line whose greatest error, as a share of what was measured, is small: least squares of relative errors.

    Sizes are decades apart, so that plain least squares would look at the largest alone. What comes out below zero for
    the fixed part is zero: nothing costs less than nothing. Raises ValueError for fewer than two different x.
    """
    weights = [1 / max(abs(value), 1e-12) ** 2 for _, value in points]
    total = sum(weights)
    mean_x = sum(w * px for w, (px, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(w * py for w, (_, py) in zip(weights, points, strict=True)) / total
    spread = sum(w * (px - mean_x) ** 2 for w, (px, _) in zip(weights, points, strict=True))
    if spread == 0:
        raise ValueError(f"{law}: a line needs two different sizes.")
    each = sum(w * (px - mean_x) * (py - mean_y) for w, (px, py) in zip(weights, points, strict=True)) / spread
    fixed = mean_y - each * mean_x
    if fixed < 0:
        fixed = 0.0
        each = sum(w * px * py for w, (px, py) in zip(weights, points, strict=True)) / sum(
            w * px * px for w, (px, _) in zip(weights, points, strict=True)
        )
    return Fit(law, y, x, unit, scale, tuple(points), fixed, each)


def table(fits: Sequence[Fit]) -> str:
    """The laws as text: the line, and at each size what was measured and how far the line is from it."""
    lines = []
    for found in fits:
        per = found.each * found.scale
        lines.append(
            f"{found.law}: {found.y} = {found.fixed * found.scale:.3g} {found.unit} + {per:.3g} {found.unit} x {found.x}"
        )
        for (x, y), residual in zip(found.points, found.residuals, strict=True):
            lines.append(f"    {x:>14,.0f}  {y * found.scale:>12,.4g} {found.unit:<3}  {residual:+7.1%}")
    return "\n".join(lines)
