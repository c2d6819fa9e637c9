"""Make the pages in docs/reference/ from the code: `make docs`. A test says when they are stale."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer.main

from carlake.cli.app import app
from carlake.contracts import judge
from carlake.contracts.contract import ContractSet, Field, text_of
from carlake.contracts.load import load
from carlake.landing import defects
from carlake.rules.load import load_rules
from carlake.settings import reference
from carlake.tables.declare import declare
from carlake.tables.table import Column, Table

FOLDER = Path(__file__).with_name("reference")
NOTE = "<!-- Made from the code by `make docs`; change the code, not this page. -->\n"


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    contracts, rules = load(), load_rules()
    tables = declare(contracts.canonical, rules, contracts.extra_columns)
    made = {
        "tables.md": _tables(tables.values()),
        "contracts.md": _contracts(contracts),
        "rules.md": _rules(rules),
        "settings.md": _settings(),
        "reasons.md": _reasons(),
        "commands.md": _commands(),
    }
    return {name: f"{NOTE}\n{text.rstrip()}\n" for name, text in made.items()}


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return "\n".join([_row(head), _row("---" for _ in head), *map(_row, rows)])


def _tables(tables: Iterable[Table]) -> str:
    parts = [
        "# Tables",
        "All tables are Apache Iceberg, format 2, Parquet with zstd. Units are UCUM codes. Times are UTC, in microseconds; "
        "days, months and `year_month` are the UTC ones of `event_timestamp`.",
    ]
    for table in tables:
        partition = ", ".join(f"{transform}({column})" for column, transform in table.partition) or "none"
        facts = [
            f"- made from: {f'`{table.source}`' if table.source else 'what runs report'}",
            f"- one row is told from another by: {', '.join(f'`{name}`' for name in table.key)}",
            f"- a refresh replaces, whole: each {', '.join(f'`{name}`' for name in table.scope)} that its source touched",
            f"- partitioned by: {partition}",
            f"- sorted inside files by: {', '.join(f'`{name}`' for name in table.sort) or 'nothing'}",
        ]
        parts += [f"## {table.name}", f"{table.doc[0].upper()}{table.doc[1:]}.", "\n".join(facts)]
        parts.append(_table(("column", "type", "unit", "meaning"), map(_column, table.columns)))
    return "\n\n".join(parts)


def _column(column: Column) -> tuple[str, str, str, str]:
    limits = [
        f"from {column.minimum:g}" if column.minimum is not None else "",
        f"to {column.maximum:g}" if column.maximum is not None else "",
    ]
    notes = [" ".join(filter(None, limits)), "personal data" if column.personal else ""]
    meaning = "; ".join(filter(None, [column.doc, *notes]))
    return f"`{column.name}`", column.type, column.unit, meaning


def _contracts(contracts: ContractSet) -> str:
    parts = [
        "# Shipped contracts",
        "A record belongs to the first contract of which it has all keys of any line of recognition keys. Contracts of "
        "your own follow these, in the order of the setting `contracts`; see [a new shape](../how-to/new-shape.md). "
        "The format has a [JSON Schema](../../src/carlake/contracts/contract.schema.json).",
    ]
    for contract in contracts.contracts:
        lines = [f"- {', '.join(f'`{text_of(path)}`' for path in line)}" for line in contract.recognised_by]
        parts += [f"## {contract.name}, version {contract.version}", contract.description, "Recognised by any of:"]
        parts += ["\n".join(lines), _table(("silver column", "path", ""), (_field(one) for one in contract.fields))]
    return "\n\n".join(filter(None, parts))


def _field(one: Field) -> tuple[str, str, str]:
    notes = [
        "required" if one.required else "",
        f"format `{one.format.text}`" if one.format else "",
        f"zone {one.zone}" if one.zone else "",
    ]
    return (
        f"`{one.column.name}`",
        ", else ".join(f"`{text_of(path)}`" for path in one.paths),
        ", ".join(filter(None, notes)),
    )


def _rules(rules: Iterable) -> str:  # type: ignore[type-arg]
    rows = [
        (
            f"`{rule.type}`",
            f"`{rule.column}` {tier.operator} {tier.threshold:g} {rule.unit}",
            tier.severity,
            _unless(rule),
        )
        for rule in rules
        for tier in rule.worst_first
    ]
    return "\n\n".join(
        [
            "# Shipped alert rules",
            "Of one rule only the worst threshold that a value breaks gives an alert. A file of your own changes, adds or "
            "switches off rules; see [a new rule](../how-to/new-rule.md). The format has a "
            "[JSON Schema](../../src/carlake/rules/rules.schema.json).",
            _table(("alert_type", "holds when", "severity", "unless"), rows),
        ]
    )


def _unless(rule) -> str:  # type: ignore[no-untyped-def]
    return f"`{rule.unless_column}` = {rule.unless_equals:g}" if rule.unless_column else ""


def _settings() -> str:
    rows = [
        (f"`{s.key}`", s.type, f"`{s.default}`" if s.default else "", f"`{s.variable}`", s.doc) for s in reference()
    ]
    return "\n\n".join(
        [
            "# Settings",
            "The first that has a key wins: argument of the API, environment, the file of `--settings`, the lake's "
            "`carlake.toml`, the default. Paths are relative to the file that names them.",
            _table(("key", "type", "default", "environment", "meaning"), rows),
        ]
    )


def _reasons() -> str:
    read = {reason.value: text for reason, text in defects.MEANING.items()}
    judged = {reason: f"{text[0].upper()}{text[1:]}." for reason, text in judge.REASONS.items() if reason not in read}
    meanings = [(f"`{reason}`", text) for reason, text in (read | judged).items()]
    return "\n\n".join(
        [
            "# Reason codes of quarantine",
            "Stable: filter and alert on them. Column `detail` names the field, its value and the rule.",
            _table(("reason", "meaning"), meanings),
        ]
    )


def _commands() -> str:
    group: Any = typer.main.get_command(app)
    with patch.dict(os.environ, COLUMNS="80"), typer.Context(group, info_name="carlake") as ctx:
        parts = ["# Commands", _screen(group.get_help(ctx))]
        parts.append("Exit codes: 0 done, 1 failed or partly failed, 2 wrong usage; `compare` has 3, too.")
        for name in group.list_commands(ctx):
            parts += _command(group.commands[name], ctx)
    return "\n\n".join(parts)


def _command(command: Any, above: typer.Context) -> list[str]:
    """A command's own help, without the options that all share, and the help of the commands below it."""
    if command.hidden:
        return []
    with typer.Context(command, parent=above, info_name=command.name) as ctx:
        parts = [f"## {ctx.command_path}", _screen(command.get_help(ctx).split("\n\nEvery command takes")[0])]
        for below in getattr(command, "commands", {}).values():
            parts += _command(below, ctx)
    return parts


def _screen(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def main() -> int:
    """Write the pages; with `--check` only say which are stale, and exit 1 if any is."""
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    if "--check" in sys.argv and stale:
        print("stale: " + ", ".join(stale) + "; run `make docs`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
