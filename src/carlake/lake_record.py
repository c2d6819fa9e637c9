"""What a lake's file says that the lake is, and where its parts lie; wherever the lake itself lies."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carlake.errors import LakeError
from carlake.version import VERSION
from carlake.words import to_install

if TYPE_CHECKING:
    from carlake.settings import SettingsText

FORMAT = 1
"""The format of lakes that this carlake makes, and the newest that it opens."""

TOML, CATALOG, OWN = "carlake.toml", "catalog.db", ".carlake"
"""The lake's file, its catalog where that is a file, and the folder for what no row is lost with."""
FOLDERS = ("landing", "archive", "warehouse")
"""The lake's other folders."""


@dataclass(frozen=True)
class Lake:
    """A lake that lies where it was made. All paths are absolute, with links resolved.

    root            its folder; of a lake in a store a folder of this machine, for locks and temporary files
    id              hexadecimal, made once; a copy of a lake has the same
    format_version  version of the folder's format
    warehouse_uri   where the tables lie, where that is in an object store; see `with_warehouse`
    uri             where the lake lies, if that is in an object store
    own             its carlake.toml, if that lies there
    """

    root: Path
    id: str
    format_version: int = FORMAT
    warehouse_uri: str = ""
    uri: str = ""
    own: SettingsText | None = None

    @property
    def location(self) -> str:
        """Where it lies, as a person names it."""
        return self.uri or str(self.root)

    def with_warehouse(self, uri: str) -> Lake:
        """The lake with its tables in an object store, where the setting `warehouse` says so."""
        return replace(self, warehouse_uri=uri) if uri else self

    @property
    def landing(self) -> Path:
        """Where objects arrive."""
        return self.root / "landing"

    @property
    def archive(self) -> Path:
        """Where objects go after their rows are committed."""
        return self.root / "archive"

    @property
    def warehouse(self) -> Path:
        """Where the tables' data and metadata lie."""
        return self.root / "warehouse"

    @property
    def catalog_db(self) -> Path:
        """The SQLite catalog: which metadata file is each table's current one."""
        return self.root / CATALOG

    @property
    def toml(self) -> Path | SettingsText:
        """The lake's settings and, under `[lake]`, its format, id and location."""
        return self.own or self.root / TOML

    @property
    def scratch(self) -> Path:
        """A folder for temporary files, on the same file system as the tables."""
        return self.root / OWN / "scratch"

    @property
    def tombstone_key(self) -> Path:
        """The key that tombstones of forgotten cars are made with, unless a setting names another file."""
        return self.root / "tombstone.key"

    @property
    def lock(self) -> Path:
        """The file that `exclusive` locks while the lake or its catalog is made."""
        return self.root / OWN / "lock"


def identity(own: Mapping[str, Any], lake: str) -> tuple[int, str, str]:
    """Format, id and recorded location in the table [lake] of a lake's file. Raises LakeError."""
    version = own.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise damaged(lake, "has no 'format' number")
    if version > FORMAT:
        maker = own.get("made_by", "a later version")
        raise LakeError(
            f"The lake at {lake} has format {version}, made by carlake {maker}; "
            f"this carlake {VERSION} knows format {FORMAT} and older.",
            f"Install carlake {maker} or later, {to_install()}",
        )
    lake_id, location = own.get("id"), own.get("location")
    if not isinstance(lake_id, str) or not lake_id or not isinstance(location, str) or not location:
        raise damaged(lake, "has no 'id' or 'location'")
    return version, lake_id, location


def parse_own(content: bytes, lake: str) -> dict[str, Any]:
    """The table [lake] in the content of a lake's file. Raises LakeError."""
    try:
        own = tomllib.loads(content.decode("utf-8-sig")).get("lake")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LakeError(f"{lake}/{TOML} is not valid TOML: {error}.", "Mend that line.") from None
    if not isinstance(own, dict):
        raise damaged(lake, "has no table [lake]")
    return own


def own_text(location: str, lake_id: str, settings: str | None = None) -> str:
    """The text of a lake's file; by default with every setting as a comment."""
    return (
        f"{settings_text() if settings is None else settings}"
        f"{OWN_NOTE}"
        "[lake]\n"
        f"format = {FORMAT}\n"
        f'id = "{lake_id}"\n'
        f"location = {_toml_text(location)}\n"
        f'made_by = "{VERSION}"\n'
    )


OWN_NOTE = "# What the lake is. Change nothing below: the tables record the location too.\n"


def settings_text() -> str:
    """The text of a new lake's settings: every one, as a comment."""
    from carlake.settings import commented  # here, for a lake is made once and opened often

    return f"# Settings of this lake. Take the # away before a line to change what it sets.\n\n{commented()}\n"


def _toml_text(text: str) -> str:
    """A TOML basic string. JSON's escapes are TOML's; DEL is the one that TOML alone wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def damaged(lake: str, what: str) -> LakeError:
    """The error for a lake's file that does not say what the lake is."""
    return LakeError(
        f"{lake}/{TOML} {what}, which says what the lake is.",
        f"Put the file back as it was, or have it made anew: {recover_command(lake)}",
    )


def recover_command(root: Path | str) -> str:
    """The command that mends a lake."""
    return f"carlake recover --lake {quoted(root)}"


def quoted(path: Path | str) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
