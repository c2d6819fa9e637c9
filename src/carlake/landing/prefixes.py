"""Where a lake's objects arrive and where they go: its own folders, or prefixes in object stores by its settings."""

from __future__ import annotations

from carlake.lake import Lake
from carlake.settings import Settings
from carlake.storage import clients as store_clients
from carlake.storage.clients import Options, options_of, use


def landing_of(lake: Lake, settings: Settings) -> str:
    """The folder's path or the prefix's uri, without a slash at its end."""
    return settings.landing or (f"{lake.uri}/landing" if lake.uri else str(lake.landing))


def archive_of(lake: Lake, settings: Settings) -> str:
    """As `landing_of`, of the archive."""
    return settings.archive or (f"{lake.uri}/archive" if lake.uri else str(lake.archive))


def reach(lake: Lake, settings: Settings) -> None:
    """Reach the stores of this lake by its options, until `leave`. Raises SettingsError."""
    use(_options(settings), (landing_of(lake, settings), archive_of(lake, settings)))


def look_into(lake: Lake, settings: Settings) -> None:
    """As `reach`, of landing and archive alone, for as long as the process lives. Raises SettingsError."""
    use(_options(settings), (landing_of(lake, settings), archive_of(lake, settings)), others=False)


def leave(lake: Lake, settings: Settings) -> None:
    """Take back one `reach`."""
    store_clients.leave(_options(settings), (landing_of(lake, settings), archive_of(lake, settings)))


def _options(settings: Settings) -> Options:
    return options_of({name: secret.get_secret_value() for name, secret in settings.store_properties.items()})
