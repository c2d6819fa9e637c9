"""Where a lake was made and where it lies: Iceberg records absolute paths, so both matter."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyiceberg.io import InputFile
from pyiceberg.io.pyarrow import PyArrowFileIO

from carlake.storage.places import Places, is_remote
from carlake.storage.store_files import StoreFile
from carlake.storage.store_paths import AnyPath, any_path

_SCHEME = re.compile(r"^file:(?://)?(?=/)")


def local(location: str) -> str:
    """The path that an Iceberg location of the local file system names."""
    return _SCHEME.sub("", location)


@dataclass(frozen=True)
class Place:
    """Finds in `root`, where a lake lies, the files that its tables record below `recorded`, where it was made.

    places  what reads the files that lie in an object store: these move with no folder
    """

    root: Path
    recorded: Path
    places: Places = field(default_factory=Places, compare=False, repr=False)

    @property
    def moved(self) -> bool:
        """Whether the lake lies elsewhere than where it was made."""
        return self.root != self.recorded

    def path(self, location: str) -> AnyPath:
        """The file that a recorded location means, here."""
        if is_remote(location):
            return any_path(location, self.places)
        path = local(location)
        if not self.moved:
            return Path(path)
        below = self._below(path)
        return self.root / below if below else Path(path)

    def location(self, location: str, warehouse: str) -> str:
        """The recorded location as it must be recorded here. `warehouse`: the location of this lake's warehouse."""
        below = self._below(local(location))
        if below is None or not below.startswith("warehouse"):
            return location
        return warehouse + below.removeprefix("warehouse")

    def _below(self, path: str) -> str | None:
        """The part of a path below the old root; None where it lies here already, or belongs to no lake."""
        old, new = f"{self.recorded}/", f"{self.root}/"
        # One may lie in the other: the longer prefix tells whose the path is.
        for prefix in sorted((old, new), key=len, reverse=True):
            if path.startswith(f"{prefix}warehouse/") or path == f"{prefix}warehouse":
                return path.removeprefix(old) if prefix == old and old != new else None
        return None


class PlacedIO(PyArrowFileIO):  # type: ignore[misc]  # PyIceberg is untyped here
    """Reads recorded locations where the lake lies now."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    def new_input(self, location: str) -> InputFile:
        if is_remote(location):
            return StoreFile(location, self._place.places)
        return super().new_input(str(self._place.path(location)))

    def new_output(self, location: str) -> Any:
        raise NotImplementedError("what is inspected is not written")
