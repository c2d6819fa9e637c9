"""Records: contracts, quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carlake.cli.help import Command, Group
from carlake.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from carlake.contracts.contract import ContractSet

contracts = typer.Typer(cls=Group, rich_markup_mode=None)
quarantine = typer.Typer(cls=Group, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(contracts, name="contracts", rich_help_panel="Records")
    app.add_typer(quarantine, name="quarantine", rich_help_panel="Records")


# -- contracts ---------------------------------------------------------------------------------------------------------


@contracts.callback(invoke_without_command=True)
@command
def contracts_of_the_lake(invocation: Invocation) -> None:
    """Shapes of record that are understood; check a sample.

    Without a command: list. A contract of your own is one YAML file, named in the setting `contracts`; afterwards
    `carlake rebuild` takes its records out of quarantine.
    """
    _list(invocation)


@contracts.command("list", cls=Command)
@command
def contracts_list(invocation: Invocation) -> None:
    """The contracts in their order: a record belongs to the first that recognises it."""
    _list(invocation)


def _list(invocation: Invocation) -> None:
    from carlake.cli.record_screens import contract_document, show_contracts

    found = known_contracts(invocation)
    if invocation.json:
        invocation.document([contract_document(contract) for contract in found.contracts])
    show_contracts(invocation, found)


def known_contracts(invocation: Invocation) -> ContractSet:
    """The contracts of the lake; those of the settings where there is no lake yet. Raises ContractError."""
    if invocation.exists:
        with invocation.open() as house:
            return house.contracts
    from carlake.contracts.load import load

    settings = invocation.load_settings()
    return load(settings.contracts, off=settings.contracts_off, max_record_bytes=int(settings.max_record_bytes))


def _complete_contracts(incomplete: str) -> list[str]:
    return [name for name in ("car_event", "car_metrics", "car_snapshot") if name.startswith(incomplete)]


@contracts.command("show", cls=Command)
@command
def contracts_show(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The contract.", autocompletion=_complete_contracts)],
) -> None:
    """One contract: how it recognises a record, and where each column lies in it."""
    from difflib import get_close_matches

    from carlake.cli.record_screens import contract_document, show_contract
    from carlake.errors import NotFoundError

    found = known_contracts(invocation).contracts
    contract = next((contract for contract in found if contract.name == name), None)
    if contract is None:
        names = [contract.name for contract in found]
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise NotFoundError(f"There is no contract {name!r}.", f"{hint}Contracts: {', '.join(names)}.")
    if invocation.json:
        invocation.document(contract_document(contract))
    show_contract(invocation.screen, contract)


@contracts.command("check", cls=Command)
@command
def contracts_check(
    invocation: Invocation,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Sample files, folders or globs.")],
) -> None:
    """How the records of sample files would fare; nothing is landed.

    Exit code 1 if any would be quarantined.
    """
    from carlake.cli.record_screens import show_check
    from carlake.look.sample import check_sample

    found = known_contracts(invocation)
    with invocation.working("Checking the records"):
        outcomes, problems = check_sample(files, found)
    if invocation.json:
        invocation.document(
            {
                "accepted": sum(item.count for item in outcomes if not item.reason),
                "quarantined": sum(item.count for item in outcomes if item.reason),
                "outcomes": outcomes,
                "problems": [{"uri": uri, "why": why} for uri, why in problems],
            }
        )
    show_check(invocation.screen, outcomes, problems)
    if problems or any(item.reason for item in outcomes):
        raise typer.Exit(1)


@contracts.command("drift", cls=Command)
@command
def contracts_drift(
    invocation: Invocation,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, help="Look at so many of the newest records.")
    ] = 100_000,
) -> None:
    """Landed paths that no contract names, with counts: what a feed carries and nobody reads."""
    from carlake.cli.record_screens import show_drift

    with invocation.open() as house, invocation.working("Reading landed records"):
        found, records = house.drift(limit=limit)
    if invocation.json:
        invocation.document({"records": records, "paths": found})
    show_drift(invocation.screen, found, records)


@contracts.command("schema", cls=Command)
@command
def contracts_schema(
    invocation: Invocation,
    rules: Annotated[bool, typer.Option("--rules", help="Of files of alert rules instead.")] = False,
) -> None:
    """The JSON Schema of contract files, so that an editor completes them."""
    from carlake.contracts import load as contract_files
    from carlake.rules import load as rule_files

    invocation.document((rule_files if rules else contract_files).schema())


# -- quarantine --------------------------------------------------------------------------------------------------------


@quarantine.callback(invoke_without_command=True)
@command
def quarantine_of_the_lake(invocation: Invocation) -> None:
    """Records that no contract accepts: why, and export.

    Without a command: counts by reason and the newest few.

      carlake quarantine list --reason bad_type
      carlake quarantine export repair/ --reason out_of_range
      carlake run repair/      a repaired file is simply landed again
    """
    from carlake.cli.record_screens import show_quarantine

    with invocation.open() as house:
        reasons = house.quarantine_reasons().to_pylist()
        newest = house.quarantine(limit=5).to_pylist()
    if invocation.json:
        invocation.document(
            {"quarantined": sum(int(row["records"]) for row in reasons), "reasons": reasons, "newest": newest}
        )
    show_quarantine(invocation, reasons, newest)


_REASON = typer.Option("--reason", metavar="CODE", help="Only those of this reason.", show_default=False)


@quarantine.command("list", cls=Command)
@command
def quarantine_list(
    invocation: Invocation,
    reason: Annotated[str | None, _REASON] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many, newest first.")] = 50,
) -> None:
    """Quarantined records, newest first, with where each came from."""
    from carlake.cli.record_screens import show_quarantined

    with invocation.open() as house:
        rows = house.quarantine(reason=reason, limit=limit).to_pylist()
    if invocation.json:
        invocation.document(rows)
    show_quarantined(invocation.screen, rows)


@quarantine.command("reasons", cls=Command)
@command
def quarantine_reasons(invocation: Invocation) -> None:
    """Quarantined records by reason."""
    from carlake.cli.record_screens import show_reasons

    with invocation.open() as house:
        rows = house.quarantine_reasons().to_pylist()
    if invocation.json:
        invocation.document(rows)
    show_reasons(invocation.screen, rows)


@quarantine.command("export", cls=Command)
@command
def quarantine_export(
    invocation: Invocation,
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; made if it is not there.")],
    reason: Annotated[str | None, _REASON] = None,
) -> None:
    """Write quarantined records to files, verbatim, to be repaired and landed again."""
    from carlake.cli.record_screens import show_export
    from carlake.look.quarantine import export

    with invocation.open() as house:
        written = export(house, target, reason)
    files, reasons = written[:-1], written[-1]
    if invocation.json:
        invocation.document({"files": files, "reasons": reasons})
    show_export(invocation, target, files, reasons)
