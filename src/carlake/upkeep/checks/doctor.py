"""Doctor: all checks on a lake, whole or not, and what mends what they find."""

from __future__ import annotations

from dataclasses import dataclass

from carlake.upkeep.checks.every import CHECKS, check_named, findings
from carlake.upkeep.checks.finding import SEVERITIES, Finding, Severity
from carlake.upkeep.inspection.lake import Inspection


@dataclass(frozen=True)
class Diagnosis:
    """What was found in one look.

    lake      the folder
    deep      whether data files were read
    checked   the names of the checks that were done
    findings  what is wrong, the worst first
    """

    lake: str
    deep: bool
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Severity | None:
        """The worst severity among the findings; None where all is well."""
        return next((severity for severity in SEVERITIES if any(f.severity == severity for f in self.findings)), None)

    def is_well(self, least: Severity = "warning") -> bool:
        """Whether nothing of that severity, or a worse one, was found."""
        counted = SEVERITIES[: SEVERITIES.index(least) + 1]
        return not any(finding.severity in counted for finding in self.findings)

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that mend what was found, in the order in which to call them."""
        found = dict.fromkeys(command for f in self.findings for command in check_named(f.check).commands)
        return tuple(found)


def diagnose(lake: Inspection) -> Diagnosis:
    """Do all checks; changes nothing, but for hidden files that are written and removed again to try permissions."""
    found = sorted(findings(lake), key=lambda finding: SEVERITIES.index(finding.severity))
    checked = tuple(check.name for check in CHECKS if lake.deep or not check.deep)
    return Diagnosis(lake.location, lake.deep, checked, tuple(found))
