"""Keys: 32 random bytes as hexadecimal text, in a file of their own that only its owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from carlake.errors import SettingsError
from carlake.storage.durable import fsync_dir

_BYTES = 32


def read_key(path: Path, what: str) -> bytes:
    """The key in a file; `what` says whose it is. Raises SettingsError where there is none or it is too short."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise SettingsError(
            f"The {what} cannot be read: {path}: {error.strerror or error}.", "Put the file back; no other key will do."
        ) from None
    except (ValueError, UnicodeDecodeError):
        key = b""
    if len(key) < _BYTES:
        raise SettingsError(
            f"{path} holds no {what}: it must be {_BYTES} bytes or more, as hexadecimal text.",
            f"Make one: python -c 'import secrets; print(secrets.token_hex({_BYTES}))' > FILE",
        )
    return key


def make_key(path: Path, what: str) -> bytes:
    """The key in a file, made if there is none; of several processes one makes it. Raises SettingsError, OSError."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(unfinished)
            except FileExistsError:
                pass  # another process was faster
            fsync_dir(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    return read_key(path, what)
