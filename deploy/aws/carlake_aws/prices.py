"""A dated file of prices, and what is assumed of the work that they are asked for."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from carlake_aws.errors import DeployError

SHIPPED = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Price:
    """One price, and the page of AWS that says it."""

    usd: float
    page: str


@dataclass(frozen=True)
class Prices:
    """A whole file. `workload`, `lake`, `replaced`, `backfill`: quantities, by their names in the file."""

    region: str
    date: str
    read: str
    prices: dict[str, Price]
    workload: dict[str, float]
    lake: dict[str, float]
    replaced: dict[str, float]
    backfill: dict[str, float]


def read(path: Path | None = None) -> Prices:
    """A file of prices; the shipped one without a path. Raises DeployError."""
    own = path or SHIPPED
    try:
        found = tomllib.loads(own.read_text(encoding="utf-8"))
        parts = {part: {key: float(value) for key, value in found[part].items()} for part in _PARTS}
        prices = {name: Price(float(one["usd"]), str(one["page"])) for name, one in found["prices"].items()}
        made = Prices(str(found["region"]), str(found["date"]), str(found.get("read", "")), prices, **parts)
    except OSError as error:
        raise DeployError(f"{own} cannot be read: {error.strerror or error}.", "Name a file of prices.") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DeployError(
            f"{own} is no file of prices: {error!r}.", f"Copy {SHIPPED} and change the figures in it."
        ) from None
    if path is not None:
        _whole(made, read(), own)
    return made


_PARTS = ("workload", "lake", "replaced", "backfill")


def _whole(made: Prices, shipped: Prices, path: Path) -> None:
    wanted = {f"prices.{name}" for name in shipped.prices}
    wanted |= {f"{part}.{name}" for part in _PARTS for name in getattr(shipped, part)}
    there = {f"prices.{name}" for name in made.prices}
    there |= {f"{part}.{name}" for part in _PARTS for name in getattr(made, part)}
    if missing := sorted(wanted - there):
        raise DeployError(f"{path} lacks {', '.join(missing)}.", f"Take them from {SHIPPED}.")
