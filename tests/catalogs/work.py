"""What worker processes do with a catalog that they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from carlake import lake as lakes
from carlake.catalogs.by_name import close_catalog, open_catalog
from carlake.settings import Settings
from lakes import lakehouse


def open_together(barrier: Any, lake: str, settings: dict[str, Any]) -> list[tuple[str, ...]]:
    """Open the catalog at the same moment as all others; gives its namespaces."""
    barrier.wait(300)
    catalog = open_catalog(Settings(**settings), lakes.open(lake))
    try:
        return sorted(catalog.list_namespaces())
    finally:
        close_catalog(catalog)


def run_together(barrier: Any, lake: str, settings: dict[str, Any], paths: list[str]) -> tuple[str, list[str]]:
    """Run the lake on these files, beginning with all the others; gives status and errors."""
    barrier.wait(300)
    with lakehouse(Path(lake), Settings(**settings)) as house:
        report = house.run(paths)
    return report.status, [f"{step.table}: {step.error}" for step in report.steps if step.error]
