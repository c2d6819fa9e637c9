"""How contracts and quarantined records look to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from rich.text import Text

from carlake.cli.screen import GOOD, QUIET, STRONG, WARN, Column, Screen, count, number, one_line, time
from carlake.contracts.contract import Contract, ContractSet, Field, Path, text_of
from carlake.contracts.load import SHIPPED
from carlake.tables.table import Column as SilverColumn

if TYPE_CHECKING:
    from carlake.cli.invocation import Invocation
    from carlake.contracts.drift import Drift, Outcome

_RAW_SHOWN = 200


def contract_document(contract: Contract) -> dict[str, Any]:
    """A contract as JSON."""
    return {
        "contract": contract.name,
        "version": contract.version,
        "description": contract.description,
        "shipped": contract.name in SHIPPED,
        "recognised_by": [[text_of(path) for path in line] for line in contract.recognised_by],
        "fields": [
            {
                "column": field.column.name,
                "paths": [text_of(path) for path in field.paths],
                "required": field.required,
                "type": field.column.type,
                "unit": field.column.unit or None,
                "minimum": field.column.minimum,
                "maximum": field.column.maximum,
                "personal": field.column.personal,
                "format": field.format.text if field.format else None,
                "zone": field.zone,
                "own": field.column in contract.columns,
            }
            for field in contract.fields
        ],
    }


def show_contracts(invocation: Invocation, contracts: ContractSet) -> None:
    """Contracts in their order."""
    screen = invocation.screen
    screen.table(
        [
            Column("", right=True, style=QUIET),
            Column("contract"),
            Column("version", right=True),
            Column("columns", right=True),
            Column("", style=QUIET),
            Column("what it is", wrap=True),
        ],
        [
            (
                place,
                contract.name,
                contract.version,
                len(contract.fields),
                "shipped" if contract.name in SHIPPED else "own",
                Text(contract.description),
            )
            for place, contract in enumerate(contracts.contracts, 1)
        ],
    )
    screen.next(
        [
            (invocation.hint("contracts", "show", contracts.contracts[0].name), "where each column lies in a record"),
            (invocation.hint("contracts", "check", "FILE"), "how the records of a file would fare"),
            (invocation.hint("contracts", "drift"), "what landed and no contract names"),
        ]
        if contracts.contracts
        else [(invocation.hint("contracts", "schema"), "the format of a contract file")]
    )


def show_contract(screen: Screen, contract: Contract) -> None:
    """One contract with its fields."""
    screen.heading(contract.name, f"version {contract.version}")
    screen.prose(contract.description)
    screen.line()
    lines = [", ".join(text_of(path) for path in line) for line in contract.recognised_by]
    screen.facts([("recognised by" if at == 0 else "or", line) for at, line in enumerate(lines)])
    fields = list(contract.fields)
    texts = [(field.column.name, field.column.type, _range(field.column)) for field in fields]
    widths = [max(len(text[at]) for text in texts) for at in range(3)]
    block: Path | None = None
    for field, (name, kind, accepted) in zip(fields, texts, strict=True):
        parent, key = field.paths[0][:-1], field.paths[0][-1]
        if parent != block:
            screen.line()
            screen.line("  ", (text_of(parent) or "at the top", STRONG))
            block = parent
        also = "".join(_or(path, field.paths[0]) for path in field.paths[1:])
        screen.line(
            "    ",
            f"{name}{' !' if field.required else '  '}{'':{widths[0] - len(name)}}",
            (f"  {kind:{widths[1]}}  {accepted:{widths[2]}}", QUIET),
            f"  {text_of((key,))}{also}",
            (_time_note(field), QUIET),
        )
    screen.line()
    screen.line("  ", ("!", WARN), (" required: a record without it goes to quarantine", QUIET))


def _or(path: Path, first: Path) -> str:
    """Another place of a field, beside its first."""
    if len(path) > 1 or len(first) == 1:
        return f", or {text_of(path)}"
    return ", or at the top" if path[-1] == first[-1] else f", or {text_of(path)} at the top"


def show_check(screen: Screen, outcomes: Sequence[Outcome], problems: Sequence[tuple[str, str]]) -> None:
    """How a sample would fare."""
    good = sum(item.count for item in outcomes if not item.reason)
    bad = sum(item.count for item in outcomes if item.reason)
    screen.line(
        f"{count(good + bad, 'record')}: ",
        (f"{number(good)} accepted", GOOD if good else ""),
        ", ",
        (f"{number(bad)} would be quarantined", WARN if bad else ""),
    )
    if outcomes:
        screen.line()
        screen.table(
            [
                Column("contract"),
                Column("outcome"),
                Column("records", right=True),
                Column("the first, in detail", wrap=True, style=QUIET),
            ],
            [
                (
                    item.contract,
                    Text(item.reason, style=WARN) if item.reason else Text("accepted", style=GOOD),
                    item.count,
                    Text(one_line(item.example)),
                )
                for item in outcomes
            ],
        )
    for uri, why in problems:
        screen.line()
        screen.line("  ", (one_line(uri), WARN), f" {why}")


def show_drift(screen: Screen, found: Sequence[Drift], records: int) -> None:
    """Landed paths that no contract names."""
    if not found:
        screen.line(f"No drift: every path of {count(records, 'landed record')} is named by its contract.")
        return
    screen.line(f"{count(len(found), 'path')} that no contract names, in {count(records, 'landed record')}:")
    screen.line()
    screen.table(
        [
            Column("path", wrap=True),
            Column("records", right=True),
            Column("contract"),
            Column("for example", wrap=True, style=QUIET),
        ],
        [(Text(one_line(item.path)), item.count, item.contract, Text(one_line(item.example))) for item in found],
    )
    screen.line()
    screen.prose(("They stay in bronze. A contract that names one fills it from all of history.", QUIET))


def show_quarantine(
    invocation: Invocation, reasons: Sequence[Mapping[str, Any]], newest: Sequence[Mapping[str, Any]]
) -> None:
    """Counts by reason, and the newest few records."""
    screen = invocation.screen
    show_reasons(screen, reasons)
    if not reasons:
        return
    screen.line()
    screen.heading("Newest")
    screen.line()
    show_quarantined(screen, newest, raw=False)
    first = str(reasons[0]["reason"])
    screen.next(
        [
            (invocation.hint("quarantine", "list", "--reason", first), "the records themselves"),
            (invocation.hint("quarantine", "export", "repair"), "all of them as files, to repair"),
            (invocation.hint("run", "repair"), "land what was repaired"),
        ]
    )


def show_reasons(screen: Screen, rows: Sequence[Mapping[str, Any]]) -> None:
    """Quarantined records by reason."""
    if not rows:
        screen.line(("Quarantine is empty.", GOOD))
        return
    total = sum(int(row["records"]) for row in rows)
    screen.line((f"{count(total, 'record')} in quarantine", STRONG), ", verbatim, by reason:")
    screen.line()
    screen.table(
        [Column("reason"), Column("records", right=True), Column("for example", wrap=True, style=QUIET)],
        [(row["reason"], int(row["records"]), Text(_brief(row["detail"]))) for row in rows],
    )


def show_quarantined(screen: Screen, rows: Sequence[Mapping[str, Any]], *, raw: bool = True) -> None:
    """Quarantined records, one below the other."""
    if not rows:
        screen.line(("Quarantine is empty.", GOOD))
    for at, row in enumerate(rows):
        if at:
            screen.line()
        screen.line(
            "  ",
            (str(row["reason"]), WARN),
            f"  {time(row['quarantined_at'])}",
            (f"  {row['contract']}" if row["contract"] else "", QUIET),
        )
        if row["detail"]:
            screen.prose(_brief(row["detail"]), indent=4)
        place = f"{one_line(str(row['source_uri']))} row {row['source_row']}"
        screen.line("    ", (place, QUIET))
        if raw and row["raw"]:
            screen.line("    ", (_brief(row["raw"], _RAW_SHOWN), QUIET))


def show_export(invocation: Invocation, target: FilePath, files: Sequence[FilePath], reasons: FilePath) -> None:
    """What was exported, and how it comes back."""
    screen = invocation.screen
    if not files:
        screen.line("Nothing was exported: quarantine is empty.")
        return
    screen.line(f"Wrote {count(len(files), 'file')} to ", (str(target), STRONG))
    screen.line(f"  {reasons.name} says of each record why it is there, and in which line.")
    screen.next([(invocation.hint("run", str(target)), "land them again, once they are repaired")])


def _brief(text: Any, most: int = 160) -> str:
    line = one_line(str(text or ""))
    return line if len(line) <= most else line[: most - 1] + "…"


def _time_note(field: Field) -> str:
    """How a time is written, where the contract says."""
    return (f"  as {field.format.text}" if field.format else "") + (f"  in {field.zone}" if field.zone else "")


def _range(column: SilverColumn) -> str:
    low, high = (
        None if value is None else f"{value:g}".replace("e+0", "e") for value in (column.minimum, column.maximum)
    )
    if low is None and high is None:
        return column.unit
    text = f">= {low}" if high is None else f"<= {high}" if low is None else f"{low} to {high}"
    return f"{text} {column.unit}".strip()
