"""A settings file of a user's with a contract of its own, as it is packaged with the code."""

from __future__ import annotations

import json
from pathlib import Path

_CONTRACT = """\
contract: ping
version: 1
description: Pings of a supplier's units.
recognised_by:
  - [vin, odo]
fields:
  car_chassis: {path: vin, required: true}
  event_timestamp: {path: at, required: true}
  current_mileage_km: odo.km
"""


def settings_file(folder: Path) -> Path:
    """`carlake.toml`, and the contract that it names, in a folder that is made."""
    (folder / "contracts").mkdir(parents=True)
    (folder / "contracts" / "ping.yaml").write_text(_CONTRACT)
    file = folder / "carlake.toml"
    file.write_text('contracts = ["contracts"]\nmax_record_bytes = "64 KiB"\n')
    return file


def ping(car: str, km: float) -> str:
    """A record that only that contract recognises."""
    return json.dumps({"vin": car, "at": "2025-10-01T10:00:00Z", "odo": {"km": km}})
