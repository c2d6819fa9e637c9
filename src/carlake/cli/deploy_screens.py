"""How a deployment's plan, its costs and its check look to a person, and as one document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from carlake.cli.screen import BAD, GOOD, QUIET, STRONG, WARN, Column

if TYPE_CHECKING:
    from carlake_aws.changes import Change
    from carlake_aws.check import Line
    from carlake_aws.costs import Bill, Costs
    from carlake_aws.lake_settings import Environment
    from carlake_aws.planned import Plan

    from carlake.cli.invocation import Invocation
    from carlake.errors import CarlakeError

_SHOWN = 40
_SERVICES = {"glue": "Glue 5", "emr-serverless": "EMR Serverless"}


def plan_document(plan: Plan) -> dict[str, Any]:
    """All of a plan, sums too."""
    found = {"name": plan.name, "region": plan.region, "stacks": plan.stacks, **changes_document(plan)}
    if plan.costs is not None:
        found["costs"] = costs_document(plan.costs)
    return found


def changes_document(plan: Plan) -> dict[str, Any]:
    """What changes, next to what."""
    return {
        "compared_with": plan.compared_with or None,
        "running": plan.running or None,
        "changes": plan.changes,
        "losses": plan.losses,
    }


def costs_document(costs: Costs) -> dict[str, Any]:
    """Both bills, with their sums."""
    return {
        "events_per_day": costs.events_per_day,
        "prices": {"region": costs.region, "date": costs.date, "read": costs.read},
        "lake": _bill_document(costs.lake),
        "replaced": _bill_document(costs.replaced),
        "backfill": {service: _bill_document(bill) for service, bill in costs.backfill.items()},
    }


def _bill_document(bill: Bill) -> dict[str, Any]:
    return {
        "usd_a_month": round(bill.usd, 4),
        "usd_per_million_events": round(bill.per_million, 4),
        "items": [
            {"what": item.what, "usd": round(item.usd, 6), "how": item.how, "page": item.page} for item in bill.items
        ],
    }


def show_plan(invocation: Invocation, plan: Plan, cannot_build: CarlakeError | None = None) -> None:
    """What is made, what changes, what it costs; and why this machine could not build the package."""
    from carlake_aws.contents import counted

    screen = invocation.screen
    screen.line((plan.name, STRONG), f" in {plan.region}", ("  a plan: it changes nothing", QUIET))
    for stack in plan.stacks:
        screen.line()
        screen.line((stack.stack, STRONG), f"  {stack.purpose}")
        screen.line("  ", ", ".join(counted(kind, number) for kind, number in stack.counts.items()))
        for names in stack.names.values():
            screen.line("  ", (", ".join(names), QUIET))
    screen.line()
    show_changes(invocation, plan)
    if cannot_build is not None:
        screen.line(("apply would stop: ", WARN), f"{cannot_build.what} {cannot_build.advice}")
    if plan.costs is not None:
        screen.line()
        show_costs(invocation, plan.costs, plan.region)


def show_changes(invocation: Invocation, plan: Plan) -> None:
    """What differs from what is deployed, and what is lost by it."""
    screen = invocation.screen
    if not plan.compared_with:
        screen.line("Compared with nothing: ", plan.alone)
        return
    if not plan.changes:
        screen.line(f"Next to {plan.compared_with}: nothing differs.")
        return
    counts = {
        what: sum(one.what == what for one in plan.changes) for what in ("made", "changed", "made anew", "taken away")
    }
    told = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    screen.line(f"Next to {plan.compared_with}: {told}.", f" Code {plan.running} runs there." if plan.running else "")
    there = [one for one in plan.changes if one.what != "made"]
    new = {one.stack for one in plan.changes if one.what == "made"}
    shown = [*there, *(one for one in plan.changes if one.what == "made" and {c.stack for c in there} & new)]
    if shown:
        screen.table(
            [Column("stack"), Column("what"), Column("resource", whole=True), Column("by", wrap=True), Column("")],
            [
                (one.stack, one.what, f"{one.kind} {one.name}", ", ".join(one.properties), _loss(one))
                for one in shown[:_SHOWN]
            ],
        )
    if len(shown) > _SHOWN:
        screen.line(f"  and {len(shown) - _SHOWN} more; --json has all")
    for one in plan.losses:
        screen.line(
            ("  LOST ", BAD), f"{one.name}: what it holds{' stays behind, where nothing looks' if one.left else ''}."
        )


def _loss(change: Change) -> tuple[str, str]:
    if change.lost:
        return "LOST", BAD
    return ("stays where it is", WARN) if change.left and change.what == "taken away" else ("", "")


def show_costs(invocation: Invocation, costs: Costs, region: str) -> None:
    """Both designs, item by item; `region` is the deployment's, which may have other prices than those at hand."""
    screen = invocation.screen
    screen.line(
        ("A month", STRONG),
        f" at {costs.events_per_day:,} events a day, by the prices of {costs.region} of {costs.date}, in US dollars",
    )
    if costs.region != region:
        screen.line(
            (f"These prices are {costs.region}'s, not {region}'s. ", WARN), "Give a file of those with --prices."
        )
    for title, bill in (("this lake", costs.lake), ("crawlers and Glue jobs, as it replaces them", costs.replaced)):
        screen.line()
        screen.table(
            [Column(title), Column("usd", right=True), Column("reckoned from", style=QUIET, wrap=True)],
            [
                *((item.what, f"{item.usd:,.2f}", item.how) for item in bill.items),
                ("together", f"{bill.usd:,.2f}", f"{bill.per_million:,.2f} for a million events"),
            ],
        )
    screen.line()
    screen.table(
        [
            Column("those events as one backfill"),
            Column("usd", right=True),
            Column("reckoned from", style=QUIET, wrap=True),
        ],
        [
            (
                _SERVICES[service],
                f"{bill.usd:,.2f}",
                f"{bill.per_million:,.4f} for a million events; {bill.items[0].how}",
            )
            for service, bill in costs.backfill.items()
        ],
    )
    screen.line()
    ratio = costs.replaced.usd / costs.lake.usd
    screen.line(("  ", GOOD), f"What it replaces costs {ratio:.1f} times as much. ", (costs.read, QUIET))


def environment_document(environment: Environment) -> dict[str, Any]:
    """The variables, and how the key of pseudonyms is had."""
    file = environment.key_file
    key = {"file": file, "there": file.is_file(), "fetch": environment.fetch} if file else None
    return {"variables": environment.variables, "pseudonym_key": key}


def show_environment(environment: Environment) -> None:
    """Lines for a shell, and nothing else of standard output: it runs them, and some shells would run a comment, too."""
    for line in environment.exports():
        typer.echo(line)
    file = environment.key_file
    if file is not None and not file.is_file():
        typer.echo(
            f"# Personal data is landed as pseudonyms. CARLAKE_PSEUDONYM_KEY_FILE names the file of their key, {file}, which "
            f"is not there. Who may read the secret puts it there, and keeps it from others:\n{environment.fetch}",
            err=True,
        )


def show_line(invocation: Invocation, line: Line) -> None:
    """One step of the check, as soon as it is done."""
    style = {"ok": GOOD, "failed": BAD}.get(line.outcome, QUIET)
    invocation.screen.line((f"{line.outcome:9} ", style), (f"{line.step:13} ", STRONG), line.found)
    if line.advice:
        invocation.screen.line(f"{'':24}", line.advice)
