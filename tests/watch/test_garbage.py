"""A service collects garbage as often as Python does by itself; a command that soon ends does so seldom."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from carlake.settings import Settings
from lakes import lakehouse, nested, put

_TOLD = """
import atexit, gc, json, os, pathlib, sys
sys.argv[0] = 'carlake'
told = pathlib.Path(os.environ['TOLD'])
frozen = []
freeze = gc.freeze
gc.freeze = lambda: (freeze(), frozen.append(gc.get_freeze_count()))
atexit.register(lambda: told.write_text(json.dumps([gc.get_threshold(), frozen, gc.get_freeze_count()])))
from carlake.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("words", "seldom"), [(("watch", "--until-idle"), False), (("run",), True), (("status",), True)]
)
def test_what_lives_long_lets_nothing_lie_about(small_folder: Path, words: tuple[str, ...], seldom: bool) -> None:
    with lakehouse(small_folder / "lake", Settings(threads=1)) as house:
        put(house.lake.landing / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z"))
    told = small_folder / "told.json"
    done = subprocess.run(
        [sys.executable, "-c", _TOLD, *words, "--lake", str(small_folder / "lake")],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ, CARLAKE_THREADS="1", TOLD=str(told)),
    )
    thresholds, frozen, left = json.loads(told.read_text())
    own = subprocess.run(
        [sys.executable, "-c", "import gc; print(list(gc.get_threshold()))"], capture_output=True, text=True, check=True
    )
    assert (thresholds == json.loads(own.stdout), bool(frozen)) == (not seldom, not seldom)
    # What is frozen at the end is not taken apart, and libraries in C complain of it where the log's lines are.
    assert left == 0 and "leaked" not in done.stderr
    assert all(json.loads(line) for line in done.stderr.splitlines())
    assert not seldom or thresholds[0] > gc.get_threshold()[0]
