"""Where a lake's objects arrive and where they go: its own folders, or prefixes in object stores by its settings."""

from __future__ import annotations

import os

from carlake.errors import SettingsError
from carlake.lake import Lake
from carlake.landing.listing import is_hidden
from carlake.settings import Settings
from carlake.storage import clients as store_clients
from carlake.storage.clients import Options, options_of, use
from carlake.storage.places import is_remote, path_of


def landing_of(lake: Lake, settings: Settings) -> str:
    """The folder's path or the prefix's uri, without a slash at its end."""
    return settings.landing or (f"{lake.uri}/landing" if lake.uri else str(lake.landing))


def archive_of(lake: Lake, settings: Settings) -> str:
    """As `landing_of`, of the archive."""
    return settings.archive or (f"{lake.uri}/archive" if lake.uri else str(lake.archive))


def keep_apart(lake: Lake, settings: Settings) -> None:
    """Raise SettingsError where archive or tables lie below landing: what they hold would be taken for what arrives.

    An object that leaves landing for the place where it lies already would be gone.
    """
    landing = landing_of(lake, settings)
    others = {"warehouse": lake.warehouse_uri or str(lake.warehouse)}
    if settings.after_landing != "leave":
        others["archive"] = archive_of(lake, settings)
    below = _place(landing).rstrip("/") + "/"
    for name, place in others.items():
        inner = _place(place).rstrip("/") + "/"
        if inner.startswith(below) and not is_hidden(inner, below):
            raise SettingsError(
                f"The lake's {name}, {place}, lies in its landing, {landing}: what it holds would be landed and moved.",
                f"Set landing to a prefix that holds nothing else, or {name} to a place outside of it.",
            )


def reach(lake: Lake, settings: Settings) -> None:
    """Reach the stores of this lake by its options, until `leave`. Raises SettingsError."""
    use(_options(settings), (landing_of(lake, settings), archive_of(lake, settings)))


def look_into(lake: Lake, settings: Settings) -> None:
    """As `reach`, of landing and archive alone, for as long as the process lives. Raises SettingsError."""
    use(_options(settings), (landing_of(lake, settings), archive_of(lake, settings)), others=False)


def leave(lake: Lake, settings: Settings) -> None:
    """Take back one `reach`."""
    store_clients.leave(_options(settings), (landing_of(lake, settings), archive_of(lake, settings)))


def _place(given: str) -> str:
    """A place in a form in which two can be compared."""
    return path_of(given) if is_remote(given) else os.path.realpath(path_of(given))


def _options(settings: Settings) -> Options:
    return options_of({name: secret.get_secret_value() for name, secret in settings.store_properties.items()})
