"""Mend: doctor, recover."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from carlake.upkeep.checks.doctor import Diagnosis
    from carlake.upkeep.recovery.plan import RecoveryPlan
    from carlake.upkeep.recovery.recover import Recovery

_SEVERITIES = ("error", "warning", "notice")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("doctor", cls=Command, rich_help_panel="Mend")(doctor)
    app.command("recover", cls=Command, rich_help_panel="Mend")(recover)


def severity(text: str) -> str:
    """A severity by its name."""
    if text not in _SEVERITIES:
        raise typer.BadParameter(f"{text!r} is none; there are: {', '.join(_SEVERITIES)}")
    return text


@command
def doctor(
    invocation: Invocation,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every data file whole, and the files of every snapshot.")
    ] = False,
    fail_on: Annotated[
        str,
        typer.Option(
            parser=severity, metavar="SEVERITY", help="Exit code 1 from this severity on: error, warning, notice."
        ),
    ] = "warning",
) -> None:
    """What is wrong with the lake, and what mends it.

    Each trouble by its file or table, with what it means.

    Works on a lake that is too broken for every other command. Changes nothing; it tries what runs do in the lake's
    folders with hidden files, and removes them. Without --deep it reads metadata and the sizes of files alone.

    Severities: an error is rows that are missing or wrong, or a lake that cannot work, until somebody mends it; a
    warning waits for a person, and every row is right; a notice needs nobody.

    For monitoring: exit code 0 when all is well, 1 when something is wrong, 2 on wrong usage.

      carlake doctor --json --fail-on error
    """
    from carlake.lakehouse import Lakehouse

    with invocation.working("Looking"):
        found = Lakehouse.doctor(invocation.lake, settings_file=invocation.settings, deep=deep)
    if invocation.json:
        invocation.document(
            {
                "lake": found.lake,
                "well": found.is_well(),
                "worst": found.worst,
                "deep": found.deep,
                "findings": found.findings,
                "mends": found.commands,
                "checked": found.checked,
            }
        )
    show_diagnosis(invocation, found)
    if not found.is_well(fail_on):  # type: ignore[arg-type]
        raise typer.Exit(1)


@command
def recover(
    invocation: Invocation,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before history is given up.")] = False,
) -> None:
    """Make a lake whole again, whatever broke it.

    Every table is checked at the end.

    Makes a lost catalog anew from the tables' metadata, gold and silver from bronze, bronze from the archive and every
    data file that can be read, and a lake that was moved or copied whole where it lies, without touching the other
    place. Nothing is deleted but what has lost its files. It can be stopped and called again at any moment.

    What neither bronze nor the archive holds is named. Exit code 0 when every table is what it is made from.

      carlake recover --dry-run    the steps, each with its reason
    """
    from carlake import lake as lakes
    from carlake.lakehouse import Lakehouse

    if not invocation.folder.is_dir():
        lakes.open(invocation.lake, file=invocation.settings)  # says what is there instead, and which lake is meant
    with invocation.working("Looking at every file"):
        plan = Lakehouse.plan_recovery(invocation.lake, settings_file=invocation.settings)
    if dry_run or plan.blocked:
        if invocation.json:
            invocation.document({"lake": plan.lake, "steps": plan.steps, "blocked": plan.blocked})
        show_recovery_plan(invocation, plan)
        if plan.blocked:
            raise typer.Exit(1)
        return
    if plan.losses and not yes:
        if invocation.json or not sys.stdin.isatty():
            raise typer.BadParameter("recover asks before it gives up history; where nobody can answer, give --yes.")
        show_recovery_plan(invocation, plan)
        typer.confirm("Go on?", abort=True, err=True)
    with invocation.working("Recovering") as change:
        done = Lakehouse.recover(
            invocation.lake,
            settings_file=invocation.settings,
            say=lambda step: change(f"{step.target}: {step.what}"),
            until_told=True,
        )
    if invocation.json:
        invocation.document(
            {
                "lake": done.lake,
                "ok": done.ok,
                "steps": done.steps,
                "damaged": done.damaged,
                "lost": done.lost,
                "aside": done.aside,
                "verification": done.verification,
            }
        )
    show_recovery(invocation, done)
    sys.stdout.flush()
    done.told()
    if not done.ok:
        raise typer.Exit(1)


def show_recovery_plan(invocation: Invocation, plan: RecoveryPlan) -> None:
    """The steps for people, or what is in their way."""
    from carlake.cli.screen import BAD, QUIET, STRONG, WARN

    screen = invocation.screen
    for finding in plan.blocked:
        screen.line(("in the way", BAD), f"  {finding.check}")
        screen.line(f"  {finding.where}: {finding.what}")
    for number, step in enumerate(plan.steps, start=1):
        screen.line(f"{number:2}. ", (step.target, STRONG), f": {step.what}")
        screen.line((f"    since {step.why}", QUIET))
        if step.loses:
            screen.line((f"    gives up: {step.loses}", WARN))


def show_recovery(invocation: Invocation, done: Recovery) -> None:
    """What was done, what is lost, and how the check ended."""
    from carlake.cli.screen import BAD, GOOD, WARN, count

    screen = invocation.screen
    for step in done.steps:
        screen.line(f"  {step.target}: {step.what}")
    for path in done.aside:
        screen.line(f"Set aside: {path}")
    for item in done.damaged:
        screen.line(("damaged", WARN), f"  {item.what} {item.why}")
    for item in done.lost:
        screen.line(("lost", BAD), f"  {item.what}: {item.why}")
    if done.damaged and not done.lost:
        screen.line("Nothing is lost: what the damaged files held was made again.")
    checked = done.verification
    if done.ok:
        screen.line(("Verified.", GOOD), f" {count(checked.files, 'object')}, {count(checked.records, 'record')}.")
    for problem in checked.problems:
        screen.line((problem.kind, BAD), f"  {problem.table}: {problem.what}")


def show_diagnosis(invocation: Invocation, found: Diagnosis) -> None:
    """Findings for people: each check once, with what it means and what mends it."""
    from carlake.cli.screen import BAD, GOOD, QUIET, WARN, count
    from carlake.upkeep.checks.every import check_named

    screen = invocation.screen
    if not found.findings:
        screen.line(("Well.", GOOD), f" {count(len(found.checked), 'check')} found nothing.")
        return
    style = {"error": BAD, "warning": WARN, "notice": QUIET}
    for name in dict.fromkeys(finding.check for finding in found.findings):
        check = check_named(name)
        findings = [finding for finding in found.findings if finding.check == name]
        screen.line((findings[0].severity, style[findings[0].severity]), f"  {name}")
        for finding in findings[:20]:
            screen.line(f"  {finding.where}: {finding.what}")
        if len(findings) > 20:
            screen.prose(f"... and {len(findings) - 20} more (--json has them all)", indent=2)
        screen.prose((check.meaning, QUIET), indent=4)
        screen.prose((f"Mend: {invocation.on_this_lake(check.mends)}", QUIET), indent=4)
    if found.commands:
        screen.next([(_here(invocation, command), "") for command in found.commands])


def _here(invocation: Invocation, command: str) -> str:
    """A command of the list, for this lake."""
    program, *words = command.split(" ", 1)
    rest = words[0] if words else ""
    options = invocation.hint("").split(" '' ", 1)
    return f"{program} {rest}" + (f" {options[1]}" if len(options) > 1 else "")
