"""Start: demo, init, simulate."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carlake.cli.flow import day
from carlake.cli.help import Command
from carlake.cli.invocation import DEFAULT_LAKE, Invocation, command

if TYPE_CHECKING:
    from carlake.simulator.files import Simulated

FORMATS = ("ndjson", "json", "csv", "parquet", "mixed")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for name, function in (("demo", demo), ("init", init), ("simulate", simulate)):
        app.command(name, cls=Command, rich_help_panel="Start")(function)


@command
def init(
    invocation: Invocation,
    folder: Annotated[
        str | None, typer.Argument(metavar="DIR", help="The lake's folder, or its URI. [--lake]", show_default=False)
    ] = None,
) -> None:
    """Make a lake.

    A lake is one folder: landing/ archive/ warehouse/ catalog.db carlake.toml. A lake that is there already is left
    as it is. In an object store (s3://BUCKET/PREFIX) it is the same, with a server for its catalog: see the settings
    catalog and catalog_uri.
    """
    if folder is not None:
        invocation.lake = folder
    from carlake import lake as lakes
    from carlake.settings import Settings

    catalog = Settings.load(file=invocation.settings, only=("catalog", "catalog_uri")).catalog
    there = invocation.exists
    lake = lakes.create(invocation.lake, file=invocation.settings)
    landing = f"{lake.uri}/landing" if lake.uri else lake.landing
    if invocation.json:
        invocation.document(
            {
                "lake": lake.location,
                "created": not there,
                "id": lake.id,
                "format": lake.format_version,
                "landing": landing,
                "settings": str(lake.toml),
            }
        )
        return
    screen = invocation.screen
    if there:
        screen.line("There is a lake already at ", (lake.location, "bold"), "; nothing was changed.")
    else:
        screen.line("Made a lake at ", (lake.location, "bold"))
        screen.line()
        screen.facts(
            [
                ("landing/", "put files of car events here"),
                ("archive/", "where they go once their rows are committed"),
                ("warehouse/", "the tables, as Iceberg"),
                *([] if lake.uri or catalog != "sqlite" else [("catalog.db", "which snapshot each table is at")]),
                ("carlake.toml", "settings, all of them explained"),
            ]
        )
    screen.next(
        [
            (invocation.hint("simulate"), "write files of a simulated fleet into landing"),
            (invocation.hint("run"), "take in what lies in landing"),
            (invocation.hint("status"), "the lake at a glance"),
        ]
    )


@command
def simulate(
    invocation: Invocation,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Where to write. [the lake's landing]", show_default=False),
    ] = None,
    events: Annotated[int, typer.Option("--events", "-n", metavar="N", min=0, help="Distinct events.")] = 1000,
    cars: Annotated[int, typer.Option("--cars", metavar="N", min=1, help="Cars that share them.")] = 20,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, help="Days that they are spread over.")] = 90,
    start: Annotated[date, typer.Option("--start", parser=day, metavar="DATE", help="The first of the days.")] = date(
        2025, 8, 1
    ),
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Picks the cars' lives; the same seed gives the same bytes.")
    ] = 7,
    files: Annotated[
        int | None,
        typer.Option("--files", metavar="N", min=1, help="How many files. [1, mixed 12 and more]", show_default=False),
    ] = None,
    format: Annotated[  # noqa: A002  the word of the command line
        str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(FORMATS)}.")
    ] = "ndjson",
    compress: Annotated[str, typer.Option("--compress", metavar="HOW", help="gzip or zstd.", show_default=False)] = "",
    bad: Annotated[float, typer.Option("--bad", metavar="SHARE", min=0, max=1, help="Share of spoilt records.")] = 0.01,
    duplicates: Annotated[
        float, typer.Option("--duplicates", metavar="SHARE", min=0, max=1, help="Share of repeats.")
    ] = 0.05,
    corrections: Annotated[
        float, typer.Option("--corrections", metavar="SHARE", min=0, max=1, help="Share of newer versions.")
    ] = 0.02,
    stale: Annotated[
        float, typer.Option("--stale", metavar="SHARE", min=0, max=1, help="Share of older versions, late.")
    ] = 0.01,
    late: Annotated[
        float, typer.Option("--late", metavar="SHARE", min=0, max=1, help="Share of events out of order.")
    ] = 0.02,
    flat: Annotated[
        float, typer.Option("--flat", metavar="SHARE", min=0, max=1, help="Share of flat car_metrics records.")
    ] = 0.0,
    snapshot: Annotated[
        float, typer.Option("--snapshot", metavar="SHARE", min=0, max=1, help="Share of old car_snapshot records.")
    ] = 0.0,
) -> None:
    """Write files of a simulated fleet, faults among them.

    --format mixed writes nested, flat and old records in every form there is, beside every fault that carlake knows.

      carlake simulate --events 10000 --cars 50
      carlake simulate samples/ --format mixed
    """
    from typing import Any, cast

    from carlake.cli.screen import count, number, size
    from carlake.errors import SettingsError
    from carlake.simulator.files import write
    from carlake.simulator.fleet import Fleet

    _known(format, FORMATS, "--format")
    _known(compress, ("", "gzip", "zstd"), "--compress")
    inside = folder is not None and folder.absolute() == (Path(invocation.lake) / "landing").absolute()
    if folder is None:
        from carlake import lake as lakes
        from carlake.landing.prefixes import landing_of
        from carlake.storage.places import is_remote

        lake_there = lakes.open(invocation.lake, file=invocation.settings)
        landing = landing_of(lake_there, invocation.load_settings(lake_there.toml))
        if is_remote(landing):
            raise SettingsError(
                f"The lake's landing, {landing}, lies in an object store, and the simulator writes into folders alone.",
                "Name a folder: `carlake simulate FOLDER`. Then take it in with `carlake run FOLDER`.",
            )
        folder, inside = lake_there.landing, True
    try:
        fleet = Fleet(events, cars, days, start, seed, duplicates, corrections, stale, late, bad, flat, snapshot)
        with invocation.working("Simulating"):
            done = write(fleet, folder, files=files, format=cast(Any, format), compress=cast(Any, compress))
    except SettingsError as error:
        raise typer.BadParameter(f"{error.what} {error.advice}") from None
    if invocation.json:
        invocation.document(simulated_document(done))
        return
    screen = invocation.screen
    screen.line(f"Wrote {count(len(done.paths), 'file')}, {size(done.size)}, into ", (str(folder), "bold"))
    screen.line()
    screen.facts(
        [
            ("events", number(done.events)),
            ("duplicates", f"{number(done.duplicates)}: repeats, corrections and older versions"),
            ("spoilt", f"{number(sum(done.bad.values()))}, on purpose"),
        ]
    )
    screen.next([(invocation.hint("run") if inside else invocation.hint("run", str(folder)), "take them in")])


def simulated_document(done: Simulated) -> dict[str, object]:
    """What was simulated, as JSON."""
    return {
        "folder": done.folder,
        "files": len(done.paths),
        "contents": done.contents,
        "bytes": done.size,
        "records": done.records,
        "events": done.events,
        "duplicates": done.duplicates,
        "bad": done.bad,
        "paths": done.paths,
    }


def _known(word: str, words: tuple[str, ...], option: str) -> None:
    if word not in words:
        from difflib import get_close_matches

        near = get_close_matches(word.lower(), words, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise typer.BadParameter(f"{option} {word!r} is not known.{hint} There are: {', '.join(filter(None, words))}.")


@command
def demo(
    invocation: Invocation,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The demo's lake. [./demo-lake]", show_default=False)
    ] = None,
    events: Annotated[
        int, typer.Option("--events", "-n", metavar="N", min=1, help="Distinct events to simulate.")
    ] = 1000,
    new: Annotated[bool, typer.Option("--new", help="Remove the demo's lake first, and begin anew.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing.")] = False,
) -> None:
    """A simulated fleet with faults, from landing to gold.

    It makes a lake of its own, and takes no folder that holds anything else. A second time it lands the same files
    again: carlake knows them all, and nothing changes.
    """
    from carlake.cli.demo import DEMO_LAKE, run_demo

    if folder is not None:
        invocation.lake = str(folder)
    elif invocation.lake == DEFAULT_LAKE:
        invocation.lake = DEMO_LAKE
    run_demo(invocation, events=events, new=new, yes=yes)
