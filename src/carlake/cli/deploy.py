"""Beyond: deploy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carlake.cli.help import Command, Group
from carlake.cli.invocation import Invocation, command
from carlake.errors import SettingsError
from carlake.words import to_install

if TYPE_CHECKING:
    from carlake_aws.parameters import Parameters

deploy = typer.Typer(cls=Group, rich_markup_mode=None, no_args_is_help=True)

Given = Annotated[
    Path | None,
    typer.Option(
        "--parameters", metavar="FILE", help="What this deployment chooses (TOML). [all defaults]", show_default=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(deploy, name="deploy", rich_help_panel="Beyond")


@deploy.callback()
@command
def _deploy(invocation: Invocation) -> None:
    """The whole lake in an AWS account, as code.

    Storage, queue, functions, catalog, Athena, alarms: AWS CDK makes them all. Needs the extra `deploy`.
    """


@deploy.command("parameters", cls=Command)
@command
def parameters(invocation: Invocation) -> None:
    """Every parameter, its meaning and default, as a file to begin with.

    carlake deploy parameters > parameters.toml
    """
    _needed(synthesizes=False)
    from carlake_aws.parameters import documented

    if invocation.json:
        invocation.document({"parameters": documented()})
    else:
        typer.echo(documented().rstrip("\n"))


@deploy.command("plan", cls=Command)
@command
def plan(
    invocation: Invocation,
    given: Given = None,
    events_per_day: Annotated[
        int, typer.Option("--events-per-day", metavar="N", min=1, help="The rate that costs are reckoned for.")
    ] = 100_000,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="Another file of prices.", show_default=False)
    ] = None,
) -> None:
    """What will be made, what that changes, and what it costs a month.

    Compares with what is deployed where you are signed in to AWS. Costs stand next to those of the crawlers and Glue jobs
    that a lake replaces, by one dated file of prices.

      carlake deploy plan --events-per-day 1000000
    """
    from carlake.cli.deploy_screens import plan_document, show_plan

    own = _parameters(given)
    from carlake_aws import planned
    from carlake_aws.build import interpreter_of, without_python
    from carlake_aws.prices import read

    with invocation.working("Planning"):
        found = planned.plan(own, events_per_day, read(prices))
    here = interpreter_of(own.python) is not None
    if invocation.json:
        invocation.document({**plan_document(found), "python": {"version": own.python, "here": here}})
    show_plan(invocation, found, None if here else without_python(own.python))


@deploy.command("costs", cls=Command)
@command
def costs(
    invocation: Invocation,
    given: Given = None,
    events_per_day: Annotated[
        int, typer.Option("--events-per-day", metavar="N", min=1, help="The rate that costs are reckoned for.")
    ] = 100_000,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="Another file of prices.", show_default=False)
    ] = None,
) -> None:
    """What a month costs at a rate of events, item by item.

    Next to the crawlers and Glue jobs that a lake replaces, and with what the month's events cost as one backfill on Glue 5
    and on EMR Serverless. By one dated file of prices; needs no account.

      carlake deploy costs --events-per-day 1000000
    """
    from carlake.cli.deploy_screens import costs_document, show_costs

    own = _parameters(given, synthesizes=False)
    from carlake_aws import costs as reckoned
    from carlake_aws.prices import read

    found = reckoned.costs(own, events_per_day, read(prices))
    if invocation.json:
        invocation.document(costs_document(found))
    show_costs(invocation, found, own.region)


@deploy.command("package", cls=Command)
@command
def package(
    invocation: Invocation,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where it is put. [build/packages]")] = Path(
        "build/packages"
    ),
    given: Given = None,
) -> None:
    """Build the code that runs on AWS, and nothing else.

    Its name has the hash of its content, and it has imported itself before it gets one.
    """
    own = _parameters(given)
    from carlake_aws.build import package_of

    with invocation.working("Building"):
        built = package_of(own, folder)
    if invocation.json:
        invocation.document(
            {
                "folder": str(built.folder),
                "version": built.version,
                "code": built.code,
                "python": built.python,
                "unpacked_bytes": built.unpacked,
                "zipped_bytes": built.zipped,
                "files": [file.name for file in built.files],
            }
        )
        return
    from carlake.cli.screen import size

    invocation.screen.line(str(built.folder))
    invocation.screen.line(f"  Python {built.python}; {size(built.zipped)} packed, {size(built.unpacked)} unpacked")


@deploy.command("apply", cls=Command)
@command
def apply(
    invocation: Invocation,
    given: Given = None,
    yes: Yes = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Also where a bucket, queue, key or database would be made anew or removed."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and check, say what would be done, and stop.")
    ] = False,
) -> None:
    """Build, check, and let CloudFormation make or change it.

    The package imports itself, the templates are checked and linted, and what is changed is shown before anything is
    touched. What would lose data is refused. Stopped half-way, the same command goes on.

      carlake deploy apply --parameters parameters.toml
    """
    from carlake.cli.deploy_screens import changes_document, show_changes

    own = _parameters(given)
    from tempfile import TemporaryDirectory

    from carlake_aws.applied import Deployment

    with TemporaryDirectory(prefix="carlake-deploy-") as folder:
        with invocation.working("Preparing") as told:
            ready = Deployment.prepared(own, Path(folder), told)
        found = {"code": ready.package.code, "version": ready.package.version, **changes_document(ready.plan)}
        if dry_run and invocation.json:
            invocation.document({"dry_run": True, **found})
        show_changes(invocation, ready.plan)
        if dry_run:
            return
        _ask(invocation, yes, f"Deploy {own.name} to account {ready.account.number}, {own.region}?")
        with invocation.working("Deploying") as told:
            done = ready.apply(accept_loss=accept_loss)
    if invocation.json:
        invocation.document({"dry_run": False, **found, "before": done.before, "account": done.account})
        return
    screen = invocation.screen
    screen.line(f"{done.name} runs carlake {done.version}, code {done.code}", f" (before: {done.before or 'nothing'})")
    screen.line("  Next: carlake deploy check" + (f" --parameters {given}" if given else ""))
    if not own.alarm_emails:
        screen.line("  Nobody is told of alarms yet: name addresses in alarm_emails.")


@deploy.command("check", cls=Command)
@command
def check(
    invocation: Invocation,
    given: Given = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0, help="How long the event may be on its way.")
    ] = 120.0,
) -> None:
    """Try each part, and one event all the way.

    With your own credentials: key, buckets, queue, functions, schedules, workgroup and backfill are looked at; then one event
    is landed, seen in every table and by Athena, archived by the function of maintenance, and removed again, so that no row
    of it stays. The backfill is not started, since that costs. Exit code 1 if a step fails.

      carlake deploy check --json
    """
    own = _parameters(given)
    from carlake_aws.check import Check

    from carlake.cli.deploy_screens import show_line

    lines = []
    for line in Check(own, seconds).lines():
        lines.append(line)
        show_line(invocation, line)
    ok = all(line.outcome == "ok" for line in lines)
    if invocation.json:
        invocation.document({"ok": ok, "name": own.name, "region": own.region, "steps": lines})
    if not ok:
        raise typer.Exit(1)


@deploy.command("environment", cls=Command)
@command
def environment(
    invocation: Invocation,
    given: Given = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="Where the key of pseudonyms lies, or is to be put. [NAME.key]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """The variables by which carlake works on this lake from your own machine.

    Region, lake, namespace, catalog, landing, archive, the settings file; and where the key of pseudonyms lies, never the key.
    Which account it is in is asked of AWS, with your own credentials.

      eval "$(carlake deploy environment --parameters parameters.toml)"
    """
    from carlake.cli.deploy_screens import environment_document, show_environment

    own = _parameters(given, synthesizes=False)
    from carlake_aws.account import signed_in
    from carlake_aws.lake_settings import Environment

    found = Environment.of(signed_in(own.region).names(own), key_file or Path(f"{own.name}.key"))
    if invocation.json:
        invocation.document(environment_document(found))
    else:
        show_environment(found)


@deploy.command("destroy", cls=Command)
@command
def destroy(
    invocation: Invocation,
    given: Given = None,
    yes: Yes = False,
    with_data: Annotated[
        str | None,
        typer.Option(
            "--with-data",
            metavar="NAME",
            help="All data, too, for good. NAME is the deployment's, typed, such as carlake-prod.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and what stays, and do nothing.")
    ] = False,
) -> None:
    """Remove a deployment. Buckets, key and catalog stay.

    With --with-data NAME they go, too: every version of every object, the tables in the catalog, and in 30 days the key.
    """
    own = _parameters(given, packages=False)  # what is to go needs no package
    if with_data is not None and with_data != own.name:
        raise typer.BadParameter(f"--with-data takes the deployment's name, typed: {own.name}.")
    from carlake_aws.destroyed import Destruction

    with invocation.working("Looking") as told:
        ready = Destruction(own, with_data=with_data is not None, told=told)
    if dry_run and invocation.json:
        invocation.document({"dry_run": True, "removal": ready.removal})
    _show_removal(invocation, ready.removal)
    if dry_run:
        return
    _ask(invocation, yes, f"Remove {own.name} from account {ready.account.number}, {own.region}?")
    with invocation.working("Removing"):
        ready.run()
    if invocation.json:
        invocation.document({"dry_run": False, "removal": ready.removal})
    invocation.screen.line(f"{own.name} is removed.")


def _show_removal(invocation: Invocation, removal: object) -> None:
    from carlake_aws.destroyed import Removal

    from carlake.cli.screen import BAD, STRONG

    assert isinstance(removal, Removal)
    screen = invocation.screen
    screen.line((removal.name, STRONG), f" in {removal.region} of account {removal.account}")
    for heading, what, style in (("goes", (*removal.stacks, *removal.goes), BAD), ("stays", removal.stays, STRONG)):
        for number, one in enumerate(what):
            screen.line("  ", (f"{heading if number == 0 else '':6}", style), one)


def _parameters(given: Path | None, *, synthesizes: bool = True, packages: bool = True) -> Parameters:
    """The parameters; what they would package is looked at, too, unless nothing depends on it. Raises CarlakeError."""
    _needed(synthesizes=synthesizes)
    from carlake_aws.parameters import ParametersError, read

    try:
        own = read(given)
    except ParametersError as error:
        raise SettingsError(str(error), "`carlake deploy parameters` lists all of them.") from None
    if packages and own.settings_file is not None:
        from carlake_aws.own_settings import contents

        contents(own.settings_file)
    return own


def _needed(*, synthesizes: bool = True) -> None:
    """Say how to install what is missing, before anything imports it. Raises SettingsError."""
    if importlib.util.find_spec("carlake_aws") is None:
        raise SettingsError(
            "carlake_aws is not there: carlake was installed without it.", f"Install it, {to_install('deploy')}"
        )
    missing = [name for name in ("aws_cdk", "cdk_nag", "cfnlint", "boto3") if importlib.util.find_spec(name) is None]
    if missing and synthesizes:
        raise SettingsError(
            f"To deploy needs what is not installed: {', '.join(missing)}.", f"Install it, {to_install('deploy')}"
        )
    if synthesizes:
        from carlake_aws import node

        # Before anything imports CDK, which starts Node as it is imported.
        if not node.use():
            raise SettingsError("Node is not there, which CDK runs in.", f"Install it, {to_install('deploy')}")


def _ask(invocation: Invocation, yes: bool, question: str) -> None:
    if yes:
        return
    if invocation.json or not sys.stdin.isatty():
        raise typer.BadParameter("It asks before it changes an account; where nobody can answer, give --yes.")
    typer.confirm(question, abort=True, err=True)
