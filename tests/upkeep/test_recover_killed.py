"""A recovery that is killed, by SIGKILL and at any moment, is taken up by the next one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.upkeep.damages import Contents, contents, data_files, look, manifests
from tests.upkeep.test_recover import recovered

from carlake.upkeep.checks.doctor import diagnose
from lakes import BRONZE, MONTHLY, SILVER

RECOVER = "import sys; from carlake.cli.app import call; print('begins', flush=True); call(sys.argv[1:])"


def test_a_recovery_that_is_killed(lake: Path, rows: Contents) -> None:
    """A moved lake without its catalog, with a part of bronze, of silver and of gold gone."""
    data_files(lake, BRONZE)[0].unlink()
    manifests(lake, SILVER)[0].unlink()
    data_files(lake, MONTHLY)[0].unlink()
    (lake / "catalog.db").unlink()
    moved = lake.with_name("moved")
    lake.rename(moved)
    chance = random.Random(7)
    killed = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", RECOVER, "recover", "--yes", "--lake", str(moved)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(chance.uniform(0.8, 2.5))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert killed
    recovered(moved)
    assert _by_any_clock(contents(moved)) == _by_any_clock(rows)
    assert [f for f in diagnose(look(moved)).findings if f.check != "orphan-files"] == []


def _by_any_clock(rows: Contents) -> Contents:
    """What a killed process had landed again before it was killed, was landed at the machine's time."""
    return rows | {BRONZE: [{**row, "ingested_at": None} for row in rows[BRONZE]]}
