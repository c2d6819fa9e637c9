"""Files of an object store as PyIceberg reads and writes them, and the options that properties hold for the store."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pyiceberg.io import InputFile, OutputFile
from pyiceberg.typedef import Properties

from carlake.storage.places import Places, keep

READ_WHOLE = (".avro", ".metadata.json")
"""How the names of small files end, which never change and are read at once."""

_RANGE = 1 << 20
_OPTION = "carlake.store."
_OPTIONS = {
    "s3.endpoint": "endpoint",
    "s3.region": "region",
    "client.region": "region",
    "s3.access-key-id": "access_key_id",
    "s3.secret-access-key": "secret_access_key",
    "s3.session-token": "session_token",
    "client.access-key-id": "access_key_id",
    "client.secret-access-key": "secret_access_key",
    "client.session-token": "session_token",
    "gcs.service.host": "base_url",
    "adls.account-name": "account_name",
    "adls.account-key": "account_key",
    "adls.sas-token": "sas_token",
}


def store_options(properties: Properties) -> dict[str, str]:
    """The options of `Places` that the properties of a catalog or table hold, as PyIceberg or carlake names them.

    A catalog's server may give credentials for one table: they are among that table's properties.
    """
    found = {name: str(properties[key]) for key, name in reversed(_OPTIONS.items()) if properties.get(key)}
    if found.get("endpoint", "").startswith("http://"):
        found["allow_http"] = "true"
    if str(properties.get("s3.force-virtual-addressing", "")).lower() == "true":
        found["virtual_hosted_style_request"] = "true"
    own = {key.removeprefix(_OPTION): str(value) for key, value in properties.items() if key.startswith(_OPTION)}
    return found | own


def as_properties(options: Mapping[str, str]) -> dict[str, str]:
    """`store_options`, the other way round: what gives a catalog's tables these options."""
    plain = {name.removeprefix("aws_"): value for name, value in options.items()}
    found = {key: plain[name] for key, name in _OPTIONS.items() if name in plain and not key.startswith("client.")}
    if "region" in plain:
        found["client.region"] = plain["region"]
    if "s3.endpoint" in found:
        virtual = str(plain.get("virtual_hosted_style_request", "false")).lower() == "true"
        # PyIceberg's name, and that of Iceberg in Java.
        found |= {"s3.force-virtual-addressing": str(virtual).lower(), "s3.path-style-access": str(not virtual).lower()}
    return found | {f"{_OPTION}{name}": value for name, value in options.items()}


class StoreFile(InputFile, OutputFile):  # type: ignore[misc]  # PyIceberg is untyped here
    """A file of an object store."""

    def __init__(self, location: str, places: Places) -> None:
        super().__init__(location)
        self._places = places

    def __len__(self) -> int:
        found = self._places.stat(self.location)
        if found is None:
            raise FileNotFoundError(f"Cannot open file, does not exist: {self.location}")
        return found.size

    def exists(self) -> bool:
        """Whether it is there."""
        return self._places.exists(self.location)

    def open(self, seekable: bool = True) -> Any:
        """Open the file for reading: manifests, their lists and metadata at once, compared with the checksum in their
        name; others in ranges. Raises DamagedError, FileNotFoundError, OSError.
        """
        if self.location.endswith(READ_WHOLE):
            return io.BytesIO(self._places.read_checked(self.location))
        return io.BufferedReader(RangeReader(self.location, len(self), self._places), _RANGE)

    def create(self, overwrite: bool = False) -> Any:
        """Memory to write to; closing it puts the object. Raises FileExistsError then, where it is there already and
        `overwrite` is False, as far as the store can tell.
        """

        def put(content: bytes) -> None:
            self._places.write(self.location, content, new=not overwrite)
            if self.location.endswith(READ_WHOLE):
                keep(self.location, content)

        return Kept(put)

    def to_input_file(self) -> StoreFile:
        """The file, to read it."""
        return self


class RangeReader(io.RawIOBase):
    """A file of a store, read range by range; nothing is asked for before it is needed.

    Each thread has a place of its own in the file: an engine shares a stream among its threads, and each seeks before
    it reads.
    """

    def __init__(self, location: str, size: int, places: Places) -> None:
        self.location, self.size = location, size
        self._places = places
        self._own = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("negative seek position")
        self._own.at = start + offset
        return start + offset

    def tell(self) -> int:
        at: int = getattr(self._own, "at", 0)
        return at

    def read(self, size: int = -1, /) -> bytes:
        at = self.tell()
        content = self._range(at, self.size if size < 0 else min(at + size, self.size))
        self._own.at = at + len(content)
        return content

    def readinto(self, buffer: Any, /) -> int:
        target = memoryview(buffer).cast("B")
        content = self.read(len(target))
        target[: len(content)] = content
        return len(content)

    def _range(self, start: int, end: int) -> bytes:
        return self._places.read_range(self.location, start, end)


class Kept(io.BytesIO):
    """Memory that gives its content when it is closed."""

    def __init__(self, done: Callable[[bytes], None]) -> None:
        super().__init__()
        self._done = done

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._done = lambda content: None
        self.close()

    def close(self) -> None:
        # Once only: where writing fails, the garbage collector closes the stream again.
        done, self._done = self._done, lambda content: None
        content = b"" if self.closed else self.getvalue()
        super().close()
        done(content)
