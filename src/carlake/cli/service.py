"""Flow: watch and stop, the lake as a service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from carlake.cli.document import WATCHING
from carlake.cli.help import Command
from carlake.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.watch.loop import Watch, Watched
    from carlake.watch.presence import Presence


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("watch", cls=Command, rich_help_panel="Flow")(watch)
    app.command("stop", cls=Command, rich_help_panel="Flow")(stop)


@command
def watch(
    invocation: Invocation,
    prefixes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PREFIX",
            help="Folders or object-store URIs, whose objects stay where they are. Without any: the lake's own landing "
            "folder.",
            show_default=False,
        ),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(
            "--max-latency",
            metavar="SECONDS",
            min=0,
            help="How long objects are gathered at most, the work included. [setting max_latency_seconds]",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--list-every",
            metavar="SECONDS",
            min=0.05,
            help="How often landing is listed without any event. [setting list_seconds; with a queue queue_list_seconds]",
            show_default=False,
        ),
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            metavar="URL",
            help="Queue (SQS) that tells of objects that arrive in S3. [setting queue]",
            show_default=False,
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            "--http",
            metavar="HOST:PORT",
            help="Answer /healthz, /readyz and /metrics there. Port 0 takes any; without a host, this machine alone.",
            show_default=False,
        ),
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End once nothing waits and every table is up to date.")
    ] = False,
) -> None:
    """Take in what arrives, as it arrives, until stopped.

    Every table is right within a second of a file's arrival. Ctrl-C, SIGTERM or `carlake stop` end it cleanly, a second signal
    at once; none loses anything. Any number of `watch` and `run` may work on one lake. The log is on standard error (JSON
    where that is no terminal) and in the lake: `carlake runs RUN --log`.

      carlake watch                               the landing folder
      carlake watch --http 127.0.0.1:9464         with figures for Prometheus
      carlake watch --until-idle                  take in what waits, then end
      carlake watch --queue URL                   told by S3 of what arrives there
    """
    from carlake import lake as lakes
    from carlake.watch.presence import Presence
    from carlake.watch.signals import obeyed

    asked = _Asked()
    lake = lakes.open(invocation.lake, file=invocation.settings)
    # From the first moment to the last: opening and closing take their time, too.
    with obeyed(asked.stop), Presence(lake, lambda: asked.stop("carlake stop")) as presence:
        with invocation.open() as house:
            watched = _watch(house, asked, presence, prefixes or (), max_latency, every, queue, http, until_idle)
    if invocation.json:
        invocation.document({"lake": lake.location, **vars(watched)})
    if until_idle and not watched.well:
        raise typer.Exit(1)


class _Asked:
    """What was asked of a watch, perhaps before there was one."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._watch: Watch | None = None

    def stop(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._watch is not None:
            self._watch.stop(reason)

    def give_to(self, watch: Watch) -> None:
        self._watch = watch
        if self._reason is not None:
            watch.stop(self._reason)


def _watch(
    house: Lakehouse,
    asked: _Asked,
    presence: Presence,
    prefixes: list[str] | tuple[str, ...],
    max_latency: float | None,
    every: float | None,
    queue: str | None,
    http: str | None,
    until_idle: bool,
) -> Watched:
    from contextlib import ExitStack
    from functools import partial

    from carlake.cli import garbage
    from carlake.cli.log_lines import written
    from carlake.landing.listing import list_landing
    from carlake.queue.sqs import Queue
    from carlake.watch.chores import chores
    from carlake.watch.http import Monitor, address
    from carlake.watch.loop import Watch

    for prefix in prefixes:
        list_landing(prefix)  # a prefix that does not exist is a mistake now, and a hindrance later
    house.journal.also = written(sys.stderr, brief=True)
    work = Watch(
        house,
        prefixes,
        max_latency_seconds=max_latency,
        list_seconds=every,
        until_idle=until_idle,
        chores=partial(chores, house) if house.settings.maintenance == "auto" else None,
        queue=Queue(url) if (url := queue or house.settings.queue) else None,
    )
    with ExitStack() as held:
        if http is not None:
            url = held.enter_context(Monitor(work.figures, *address(http))).url
            presence.answers_at(url)
            house.journal.write("info", "http answers", url=url)
        asked.give_to(work)
        with garbage.as_python_does():
            return work.run()


@command
def stop(
    invocation: Invocation,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait until they ended.")
    ] = 60.0,
) -> None:
    """End every `carlake watch` of this lake, cleanly.

    Waits until they ended. Each finishes the batch at hand, or breaks it off where that takes long; nothing is lost either way.
    """
    from carlake import lake as lakes
    from carlake.watch.presence import stop as ask

    lake = lakes.open(invocation.lake, file=invocation.settings)
    ended, left = ask(lake, timeout)
    if invocation.json:
        invocation.document(
            {
                "lake": lake.location,
                "stopped": [{name: getattr(each, name) for name in WATCHING} for each in ended],
                "running": [{name: getattr(each, name) for name in WATCHING} for each in left],
            }
        )
    screen = invocation.screen
    for each in ended:
        screen.line(
            f"Stopped: process {each.pid} on {each.host}, which watched since {each.started_at.replace('T', ' ')}"
        )
    for each in left:
        screen.line(f"Still running after {timeout:g} s: process {each.pid} on {each.host}")
    if not ended and not left:
        screen.line(f"Nothing watches {lake.location}.")
    if left:
        sys.stderr.write("Wait and ask again, or end the process by hand: that is safe, too.\n")
        raise typer.Exit(1)
