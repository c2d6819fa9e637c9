"""Where a lake's objects arrive and where they go: its own folders, or prefixes in object stores by its settings."""

from __future__ import annotations

from carlake.lake import Lake
from carlake.settings import Settings
from carlake.store_clients import options_of, use


def landing_of(lake: Lake, settings: Settings) -> str:
    """The folder's path or the prefix's uri, without a slash at its end."""
    return settings.landing or (f"{lake.uri}/landing" if lake.uri else str(lake.landing))


def archive_of(lake: Lake, settings: Settings) -> str:
    """As `landing_of`, of the archive."""
    return settings.archive or (f"{lake.uri}/archive" if lake.uri else str(lake.archive))


def reach(lake: Lake, settings: Settings) -> None:
    """Reach the stores of this lake by its options from now on. Raises SettingsError."""
    secrets = {name: secret.get_secret_value() for name, secret in settings.store_properties.items()}
    use(options_of(secrets), (landing_of(lake, settings), archive_of(lake, settings)))
