"""Memory does not grow with the object: measured in a process of its own, by the system's own peak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("large_object.py")


def measured(name: str, megabytes: int) -> tuple[int, int, int, int]:
    """Records, refused records, MiB of content, and by how many MiB the peak of the process grew."""
    command = [sys.executable, str(PROGRAM), name, str(megabytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    records, refused, kept, grown = map(int, done.stdout.split())
    return records, refused, kept, grown


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")


@pytest.mark.parametrize("name", ["lines", "array", "concatenated", "csv", "gzip", "blank"])
def test_a_large_object_needs_no_more_memory_than_a_batch(name: str) -> None:
    records, refused, kept, grown = measured(name, 150)
    assert refused == 0
    assert (records > 50_000 and kept > 140) or name == "blank"
    assert grown < 100


RECORDS = {"one line": (3, 1), "one element": (3, 1), "one line of text": (2, 1), "noise": (1, 1), "gzip bomb": (1, 1)}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_without_end_is_kept_up_to_a_cap(name: str) -> None:
    records, refused, kept, grown = measured(name, 300)
    assert (records, refused) == RECORDS[name]
    assert 63 <= kept <= 65
    assert grown < 299  # with the buffer that found it, and less than the object
