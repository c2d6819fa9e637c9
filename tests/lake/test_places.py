"""Where a lake's landing, archive and tables may lie to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from carlake.errors import SettingsError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings

INSIDE = [
    {"landing": "s3://fleet", "archive": "s3://fleet/archive"},
    {"landing": "s3://fleet/in", "archive": "s3://fleet/in"},
    {"landing": "s3a://fleet/in/", "archive": "s3://fleet/in/old/"},
    {"landing": "s3://fleet", "warehouse": "s3://fleet/tables", "archive": "s3://other"},
    {"landing": "s3://fleet", "warehouse": "s3://fleet/tables", "after_landing": "leave"},
]
APART = [
    {"landing": "s3://fleet/in", "archive": "s3://fleet/in-old"},
    {"landing": "s3://fleet/in", "archive": "s3://fleet"},
    {"landing": "s3://fleet", "archive": "s3://fleet/_archive"},
    {"landing": "s3://fleet", "archive": "s3://fleet/archive", "after_landing": "leave"},
]


@pytest.mark.parametrize("places", INSIDE)
def test_what_would_be_landed_for_lying_in_landing_is_refused(places: dict[str, str], small_folder: Path) -> None:
    """An archived object would be archived where it lies, and then deleted as one that has left landing."""
    with pytest.raises(SettingsError, match=r"lies in its landing, s3a?://fleet") as refused:
        Lakehouse.create(small_folder / "lake", Settings.model_validate(places))
    assert refused.value.advice.startswith("Set landing to a prefix")


@pytest.mark.parametrize("places", APART)
def test_what_is_not_listed_with_landing_may_lie_anywhere(places: dict[str, str], small_folder: Path) -> None:
    with Lakehouse.create(small_folder / "lake", Settings.model_validate(places)) as house:
        assert house.landing == places["landing"] and house.archive == places["archive"]
