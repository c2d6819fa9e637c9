"""A lake in an object store: `carlake.toml` as an object, and `landing/ archive/ warehouse/` beside it.

Its catalog is a server's: a file cannot be swapped in a store. Locks, the log, what watches, failures and temporary files
are this machine's, in a folder of its own: they are advisory, and losing them never changes a row.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from carlake.errors import LakeError, NoLakeError, SettingsError
from carlake.lake_record import FORMAT, TOML, Lake, identity, own_text, parse_own
from carlake.storage.clients import options_of
from carlake.storage.places import Places, path_of

if TYPE_CHECKING:
    from carlake.settings import Settings

# What must be known before the lake's own settings can be read.
_ACCESS = ("store_properties", "state_folder")


def open_in_store(uri: str, settings: Settings | None, file: Path | None) -> Lake:
    """The lake at a URI. Raises NoLakeError where there is none, LakeError where it was copied, is of a newer format, or
    cannot be reached.
    """
    root = path_of(uri).rstrip("/")
    access = _access(settings, file)
    content = _read(root, access)
    if content is None:
        raise NoLakeError(f"There is no lake at {root}.", f"Make one: carlake init --lake {shlex.quote(root)}")
    return _lake(root, content, access)


def create_in_store(uri: str, settings: Settings | None, file: Path | None) -> Lake:
    """Make the lake at a URI and open it; one that is there is just opened. Of several processes one makes it.

    Raises LakeError where something else lies there, SettingsError where its catalog would be a file.
    """
    from carlake.settings import Settings

    root = path_of(uri).rstrip("/")
    access = _access(settings, file)
    if (content := _read(root, access)) is not None:
        return _lake(root, content, access)
    refuse_file_catalog(root, settings or Settings.load(file=file))
    places = _places(access)
    try:
        foreign = _foreign(root, places)
        # Another process may have made the lake since, and taken in its first objects.
        if foreign is not None and (content := _read(root, access)) is not None:
            return _lake(root, content, access)
        if foreign is not None:
            raise LakeError(
                f"{root} is not a lake: it holds {foreign} and no {TOML}.", "Give a new or empty prefix, or a lake."
            )
        content = own_text(root, uuid.uuid4().hex).encode()
        try:
            places.write(f"{root}/{TOML}", content, new=True)
        except FileExistsError:
            pass  # another process was faster
        content = places.read(f"{root}/{TOML}")
    except OSError as error:
        raise _out_of_reach(root, error) from None
    return _lake(root, content, access)


def is_in_store(uri: str, settings: Settings | None, file: Path | None) -> bool:
    """Whether there is a lake. Raises LakeError where the store cannot be asked."""
    return _read(path_of(uri).rstrip("/"), _access(settings, file)) is not None


def refuse_file_catalog(root: str, settings: Settings) -> None:
    """Raise SettingsError where the catalog of a lake in a store would be a file."""
    if settings.catalog == "sqlite":
        raise SettingsError(
            f"The lake at {root} lies in an object store, and setting 'catalog' is \"sqlite\": a file, which no store "
            "can swap safely.",
            'Set catalog (such as "postgres", "rest" or "glue") and catalog_uri: in the environment '
            "(CARLAKE_CATALOG, CARLAKE_CATALOG_URI), in a file that --settings names, or in the lake's carlake.toml.",
        )


def place_all(lake: Lake, settings: Settings) -> Settings:
    """The settings of a lake in a store: what they do not say otherwise lies beside its carlake.toml.

    Raises SettingsError where its catalog would be a file.
    """
    refuse_file_catalog(lake.uri, settings)
    own = {name: f"{lake.uri}/{name}" for name in ("landing", "archive", "warehouse") if not getattr(settings, name)}
    return settings.model_copy(update=own)


def state_of(lake_id: str, folder: Path | None) -> Path:
    """The folder of this machine for a lake in a store."""
    if folder is None and os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        folder = Path(tempfile.gettempdir(), "carlake")  # all that can be written there
    if folder is None:
        home = os.environ.get("XDG_STATE_HOME") or ""
        folder = (Path(home) if home.startswith("/") else Path("~/.local/state").expanduser()) / "carlake"
    return folder / lake_id


def _access(settings: Settings | None, file: Path | None) -> Settings:
    if settings is not None:
        return settings
    from carlake.settings import Settings

    return Settings.load(file=file, only=_ACCESS)


def _places(access: Settings) -> Places:
    given = {name: value.get_secret_value() for name, value in access.store_properties.items()}
    return Places(dict(options_of(given)))


def _read(root: str, access: Settings) -> bytes | None:
    try:
        return _places(access).read(f"{root}/{TOML}")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _out_of_reach(root, error) from None


def _out_of_reach(root: str, error: OSError) -> LakeError:
    return LakeError(
        f"The lake at {root} cannot be reached: {error.strerror or error}.",
        "Check the bucket's name and the credentials; setting store_properties has the endpoint and region of other "
        "stores than the platform's own (CARLAKE_STORE_PROPERTIES='{\"endpoint\": ...}').",
    )


def _lake(root: str, content: bytes, access: Settings) -> Lake:
    from carlake.settings import SettingsText

    version, lake_id, location = identity(parse_own(content, root), root)
    if location != root:
        raise LakeError(
            f"The lake at {root} was made at {location}, and its tables record that place. Nothing was changed.",
            f"Use that one: --lake {shlex.quote(location)}",
        )
    assert version <= FORMAT
    own = SettingsText(f"{root}/{TOML}", content)
    lake = Lake(state_of(lake_id, access.state_folder), lake_id, version, uri=root, own=own)
    try:
        lake.scratch.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LakeError(
            f"{lake.root}, for the log and temporary files of the lake at {root}, cannot be made: "
            f"{error.strerror or error}.",
            "Set state_folder to a folder of this machine that you may write.",
        ) from None
    return lake


def _foreign(root: str, places: Places) -> str | None:
    """An object that is not the beginning of a lake: only landing may hold some already."""
    return next((found.path for found in places.below(root) if not found.path.startswith(f"{root}/landing/")), None)
