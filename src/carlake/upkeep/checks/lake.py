"""Checks of the lake's folder and of its catalog."""

from __future__ import annotations

from collections.abc import Iterator

from carlake.engines.spark.installed import check_installed
from carlake.errors import NoLakeError, SettingsError
from carlake.upkeep.checks.finding import Check, Found
from carlake.upkeep.inspection.lake import Inspection

_RECOVER = ("carlake recover --dry-run", "carlake recover")


def _missing(lake: Inspection) -> Iterator[Found]:
    if lake.uri and not isinstance(lake.refusal, NoLakeError):
        return  # the store did not say so
    catalog_there = not lake.uri and (lake.root / "catalog.db").exists()
    if not lake.is_lake and not catalog_there and lake.refusal is not None:
        yield lake.location, lake.refusal.what


def _unreachable(lake: Inspection) -> Iterator[Found]:
    if lake.uri and lake.refusal is not None and not isinstance(lake.refusal, NoLakeError):
        yield lake.location, str(lake.refusal)


def _file(lake: Inspection) -> Iterator[Found]:
    there = lake.is_lake or (lake.root / "catalog.db").exists()
    if there and not lake.is_newer and lake.refusal is not None and not lake.place.moved:
        yield str(lake.root / "carlake.toml"), lake.refusal.what


def _moved(lake: Inspection) -> Iterator[Found]:
    if lake.is_lake and not lake.is_newer and lake.place.moved:
        yield str(lake.root), f"its tables record that they lie at {lake.place.recorded}"


def _newer(lake: Inspection) -> Iterator[Found]:
    if lake.is_newer and lake.refusal is not None:
        yield lake.location, lake.refusal.what
    for name, table in lake.tables.items():
        if table.current is not None and table.current.metadata.format_version > 2:
            yield name, f"has Iceberg format {table.current.metadata.format_version}; carlake writes format 2"


def _settings(lake: Inspection) -> Iterator[Found]:
    for error in lake.setting_errors:
        yield "settings", str(error)
    if lake.settings.engine == "spark":
        try:
            check_installed()
        except SettingsError as error:
            yield "settings", str(error)


def _catalog(*states: str) -> object:
    def find(lake: Inspection) -> Iterator[Found]:
        if lake.catalog.state in states and not (lake.catalog.state == "lost" and not lake.folders):
            where = str(lake.root / "catalog.db") if lake.own_catalog else lake.settings.catalog
            yield where, lake.catalog.why

    return find


def _old(lake: Inspection) -> Iterator[Found]:
    if lake.catalog.state == "well":
        for name, table in lake.tables.items():
            if later := lake.later(name):
                last = max(later, key=lambda file: file.number)
                current = table.current.path.name if table.current else "nothing"
                yield name, f"the catalog names {current}, and {last.path} was made from it and was current since"


CHECKS = (
    Check(
        "no-lake",
        "lake",
        "error",
        "Every command says that there is no lake, or only the beginning of one.",
        "The path is wrong, or a lake was being made when the machine stopped. Nothing is lost: it held nothing yet.",
        "The folder is not there, is empty, or holds none of a lake's files.",
        "Give the right folder, or make the lake.",
        _missing,
        ("carlake init",),
    ),
    Check(
        "lake-unreachable",
        "lake",
        "error",
        "Every command says that the lake cannot be reached, or why this one, in an object store, cannot be opened.",
        "The store gives no answer or refuses these credentials, or its carlake.toml is not for this place or this "
        "carlake. Nothing is known about the lake, and nothing was changed. Make no other in its place.",
        "carlake.toml is asked for in the store.",
        "Check the bucket's name, the credentials, the network, and the endpoint in store_properties; do what the message "
        "says. Then look again.",
        _unreachable,
        ("carlake doctor",),
    ),
    Check(
        "lake-file",
        "lake",
        "error",
        "Every command says that carlake.toml is missing, or does not say what the lake is.",
        "The file that says what the lake is and where it was made is lost or damaged. The tables are not.",
        "carlake.toml is read; tables in the folder without it tell that it was there.",
        "It is written anew, from what the tables record. A line of settings that cannot be read is yours to mend: "
        "the message names it.",
        _file,
        _RECOVER,
    ),
    Check(
        "lake-newer",
        "lake",
        "error",
        "Every command says that the lake has a newer format.",
        "A later carlake, or another engine, has changed the lake to a format that this one does not know. It is left "
        "as it is.",
        "The format in carlake.toml, and the Iceberg format in each table's metadata.",
        "Install the carlake that made it, or a later one.",
        _newer,
    ),
    Check(
        "lake-moved",
        "lake",
        "error",
        "Every command says that the lake was made at another place, or is a copy.",
        "Iceberg records absolute paths, so the tables still speak of the old place. No command touches either lake.",
        "The location in carlake.toml, or in the tables' metadata, is not this folder.",
        "Move it back; or make it whole where it lies: every path in its metadata is written anew, and the old place is "
        "neither read nor touched. A copy becomes a lake of its own.",
        _moved,
        _RECOVER,
    ),
    Check(
        "settings",
        "lake",
        "error",
        "Commands end with an error that names a setting, a contract or a rule.",
        "A file of settings, contracts or rules has a mistake. Nothing has happened to the tables.",
        "All of them are read.",
        "Mend the line that the message names.",
        _settings,
    ),
    Check(
        "catalog-lost",
        "catalog",
        "error",
        "Every command says that catalog.db is missing.",
        "Nothing says any more which metadata file of each table counts. The files are all there, so nothing is lost.",
        "There is no catalog.db, and the warehouse holds tables.",
        "The catalog is made anew: of each table's metadata files the one that the others lead up to. A commit that was "
        "refused has left such a file too, and is told from one that landed.",
        _catalog("lost"),  # type: ignore[arg-type]
        _RECOVER,
    ),
    Check(
        "catalog-damaged",
        "catalog",
        "error",
        "Every command says that the catalog cannot be read, or is malformed.",
        "The file is no SQLite database any more, or lacks its tables. The tables' own files are all there.",
        "The database is opened and checked with SQLite's own quick check.",
        "It is set aside under another name, never deleted, and made anew like a lost one.",
        _catalog("damaged"),  # type: ignore[arg-type]
        _RECOVER,
    ),
    Check(
        "catalog-unreachable",
        "catalog",
        "error",
        "Commands wait and then say that the catalog is locked, cannot be opened or gives no answer.",
        "Another program holds the catalog's lock, its server is away, or the file may not be read. Nothing is lost; "
        "objects wait in landing.",
        "The catalog is asked for its tables, for two seconds.",
        "End the program that holds it (a database browser in the middle of a transaction, often), start the server, or "
        "give this user the right to read and write the file. Then look again.",
        _catalog("unreachable"),  # type: ignore[arg-type]
        ("carlake doctor",),
    ),
    Check(
        "catalog-old",
        "catalog",
        "error",
        "Rows that were there are gone, and files that were landed seem never to have been.",
        "catalog.db was put back from a backup: it names metadata files that others have succeeded since. No row is "
        "lost, but what runs do now goes on from the old state.",
        "A newer metadata file of a table was made from the one that the catalog names, and was current: another was "
        "made from it, or a bookmark names its snapshot.",
        "Each table is brought forward to the newest metadata file that descends from the catalog's.",
        _old,
        _RECOVER,
    ),
)
