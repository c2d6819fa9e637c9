"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from carlake.upkeep.inspection.lake import Inspection

Severity = Literal["error", "warning", "notice"]
"""How bad a finding is.

error    rows are missing or wrong, or the lake cannot work, until somebody mends it
warning  the lake works and its rows are right, but something waits for a person or will become an error
notice   nobody needs to do anything: said so that it does not surprise
"""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "notice")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    check  the name of the check that found it
    where  the table, file or folder
    what   what is wrong with it, completing "<where>: ..."
    """

    check: str
    severity: Severity
    where: str
    what: str


Found = tuple[str, str]
"""What a finder gives for each thing it finds: (where, what)."""


@dataclass(frozen=True)
class Check:
    """One check: how the trouble shows, what it is, how it is found, and what mends it.

    name      stable, for filters of monitoring
    group     what it looks at: lake, catalog, tables, landing, machine
    symptom   what a person sees
    meaning   what has happened, and what it means for the rows
    how       how the check finds it
    mends     what mends it, in words
    commands  the commands that do; empty where no command of carlake's can
    find      looks; an error that it raises is a finding of its own
    deep      it reads data files: only `doctor --deep` does it
    """

    name: str
    group: str
    severity: Severity
    symptom: str
    meaning: str
    how: str
    mends: str
    find: Callable[[Inspection], Iterable[Found]]
    commands: tuple[str, ...] = ()
    deep: bool = False
