"""The lake of a deployment, opened with all that its functions and jobs go by, whoever opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from carlake import lake as lakes
from carlake.aws.pseudonym_key import key_file
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings


def open_deployed(uri: str, *, file: Path | None, secret: str = "", make: bool = True, **layers: Any) -> Lakehouse:
    """Open the lake at a URI or in a folder; it is made where it is not there, unless `make` is false.

    file    the settings that came with the code; the lake's own carlake.toml comes after them
    secret  ARN of the secret with the key of pseudonyms; "" for none
    layers  what goes before these: `environ`, `texts` and single settings as `Settings.load` takes them

    Raises LakeError, SettingsError.
    """
    layers = {**layers, "file": file, "pseudonym_key_file": key_file(secret) if secret else None}
    lake = (lakes.create if make else lakes.open)(uri, Settings.load(**layers))
    return Lakehouse(lake, Settings.load(lake=lake.toml, **layers))
