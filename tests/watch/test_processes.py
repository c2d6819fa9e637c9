"""The commands as processes: several on one lake, signals, `carlake stop`, and an end at any moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from carlake.journal import DONE, WATCH_BEGUN, WATCH_ENDED, lines_of
from carlake.journal import folder as log_folder
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.watch.presence import Presence, folder, stop, watching
from lakes import lakehouse
from watch.running import COMMAND, all_once, event, land, landing, process, until_line, wait_until

FAST = {"CARLAKE_THREADS": "1", "CARLAKE_LIST_SECONDS": "1"}


@pytest.fixture
def house(small_folder: Path) -> Lakehouse:
    return lakehouse(small_folder / "lake", Settings(threads=1))


def test_several_watches_and_runs_on_one_lake_see_each_event_once(house: Lakehouse) -> None:
    root = house.lake.root
    with house, ExitStack() as held:
        watches = [held.enter_context(process("watch", "--lake", root, env=FAST)) for _ in range(2)]
        for watch in watches:
            until_line(watch.stderr, WATCH_BEGUN)
        runs = []
        for number in range(60):
            land(house, f"f{number}.json", event(number), event(number + 1000))
            if number in (10, 40):
                runs.append(held.enter_context(process("run", "--lake", root, "--json", env=FAST)))
        for run in runs:
            out, err = run.communicate(timeout=90)
            assert (run.returncode, json.loads(out)["status"]) == (0, "succeeded"), err
        wait_until(lambda: not landing(house))
        ended, left = stop(house.lake)
        assert (len(ended), left) == (2, [])
        for watch in watches:
            _, log = watch.communicate(timeout=60)
            assert watch.returncode == 0
            lines = [json.loads(line) for line in log.splitlines()]
            assert {line["level"] for line in lines} <= {"info"}, "nobody fails since another is at work"
            assert all("run_id" in line for line in lines if line["event"] == DONE)
        all_once(house, [*range(60), *range(1000, 1060)])
        assert len(list(house.lake.archive.glob("*/*/*"))) == 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(house: Lakehouse, number: signal.Signals) -> None:
    with house, process("watch", "--lake", house.lake.root, "--json", env=FAST) as watch:
        until_line(watch.stderr, WATCH_BEGUN)
        land(house, "a.json", event(1))
        until_line(watch.stderr, DONE)
        watch.send_signal(number)
        out, log = watch.communicate(timeout=60)
        assert watch.returncode == 0
        assert json.loads(log.splitlines()[-1])["reason"] == number.name
        document = json.loads(out)
        assert (document["reason"], document["files"], document["accepted"]) == (number.name, 1, 1)
        all_once(house, [1])
        assert house.runs()["status"].to_pylist() == ["succeeded"], "the run was written down at the end"
        assert watching(folder(house.lake)) == [] and {path.name for path in folder(house.lake).iterdir()} <= {"baton"}


def test_a_signal_while_it_opens_the_lake_ends_it_cleanly_too(house: Lakehouse) -> None:
    opening = """
import os, signal, sys
sys.argv[0] = 'carlake'
from carlake.lakehouse import Lakehouse
def __enter__(house):
    os.kill(os.getpid(), signal.SIGTERM)
    return house
Lakehouse.__enter__ = __enter__
from carlake.cli.main import main
main()
"""
    done = subprocess.run(
        [COMMAND[0], "-c", opening, "watch", "--lake", str(house.lake.root)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert json.loads(done.stderr.splitlines()[-1])["reason"] == "SIGTERM"


# Holds the loop in one step, as a long query would.
STUCK = """
import sys, threading
sys.argv[0] = 'carlake'
from carlake.watch.loop import Watch
from carlake.watch import signals
Watch._turn = lambda watch: (print('stuck', flush=True), threading.Event().wait())
grace = {grace}
if grace is not None:
    signals.obeyed.__wrapped__.__defaults__ = (grace,)
from carlake.cli.main import main
main()
"""


def test_a_second_signal_ends_it_at_once_whatever_it_is_at(house: Lakehouse) -> None:
    number = signal.SIGINT
    words = ["watch", "--lake", str(house.lake.root)]
    with subprocess.Popen(
        [COMMAND[0], "-c", STUCK.format(grace=None), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None and watch.stdout.readline() == "stuck\n"
        watch.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            watch.wait(0.3)
        watch.send_signal(number)
        assert watch.wait(10) == 128 + number
        assert watch.stderr is not None and "Stopped at once" in watch.stderr.read()
    # What it left behind is known to be of a dead process.
    assert stop(house.lake, 5) == ([], [])


def test_a_step_that_does_not_end_is_left_after_the_grace(house: Lakehouse) -> None:
    words = ["watch", "--lake", str(house.lake.root)]
    with subprocess.Popen(
        [COMMAND[0], "-c", STUCK.format(grace=0.2), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None and watch.stdout.readline() == "stuck\n"
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(10) == 0
        assert watch.stderr is not None and "in the middle of a step" in watch.stderr.read()


def test_stop_ends_every_watch_and_says_so(house: Lakehouse, small_folder: Path) -> None:
    other = lakehouse(small_folder / "other").lake
    with ExitStack() as held:
        watches = [held.enter_context(process("watch", "--lake", house.lake.root, env=FAST)) for _ in range(2)]
        stranger = held.enter_context(process("watch", "--lake", other.root, env=FAST))
        for watch in (*watches, stranger):
            until_line(watch.stderr, WATCH_BEGUN)
        with process("stop", "--lake", house.lake.root, "--json") as asking:
            out, err = asking.communicate(timeout=60)
        document = json.loads(out)
        assert asking.returncode == 0, err
        assert sorted(each["pid"] for each in document["stopped"]) == sorted(watch.pid for watch in watches)
        assert document["running"] == []
        for watch in watches:
            assert watch.stderr is not None
            assert until_line(watch.stderr, WATCH_ENDED)["reason"] == "carlake stop"
            assert watch.wait(10) == 0
        assert stranger.poll() is None and len(watching(folder(other))) == 1, "another lake's watch goes on"
        with process("stop", "--lake", other.root) as asking:
            out, _ = asking.communicate(timeout=60)
        assert re.search(r", which watched since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\n$", out), out


def test_a_killed_watch_loses_nothing_and_the_next_goes_on(house: Lakehouse) -> None:
    with house:
        for number in range(40):
            land(house, f"f{number}.json", event(number))
        few = FAST | {"CARLAKE_BATCH_FILES": "8"}
        with process("watch", "--lake", house.lake.root, env=few) as watch:
            until_line(watch.stderr, DONE)
            watch.kill()
        assert watch.returncode == -signal.SIGKILL
        with process("watch", "--until-idle", "--lake", house.lake.root, "--json", env=few) as after:
            out, log = after.communicate(timeout=90)
        assert after.returncode == 0, log
        assert json.loads(out)["reason"] == "idle"
        all_once(house, range(40))
        assert landing(house) == []
        run_ids = {json.loads(line).get("run_id") for line in log.splitlines()} - {None}
        for run_id in run_ids:
            assert list(lines_of(log_folder(house.lake), run_id))[-1]["event"] == DONE


def test_until_idle_on_a_lake_without_its_catalog_ends_and_says_why(house: Lakehouse) -> None:
    with house:
        land(house, "a.json", event(1))
        house.run()
    (catalog,) = house.lake.root.glob("**/catalog.db")
    catalog.unlink()
    with process("watch", "--until-idle", "--lake", house.lake.root, env=FAST) as watch:
        _, log = watch.communicate(timeout=60)
    assert watch.returncode == 1
    assert "catalog.db" in log.splitlines()[-1]


# --- presence ---------------------------------------------------------------------------------------------------------


def test_who_is_asked_hears_of_it_and_who_is_gone_is_swept(house: Lakehouse) -> None:
    where = folder(house.lake)
    asked: list[int] = []
    with Presence(house.lake, lambda: asked.append(1)) as presence:
        presence.answers_at("http://127.0.0.1:1")
        (found,) = watching(where)
        assert (found.pid, found.http) == (os.getpid(), "http://127.0.0.1:1")
        (where / f"{os.getpid()}-dead.json").write_text('{"pid": 1}')
        (where / f"{os.getpid()}-dead.stop").touch()
        assert stop(house.lake, 0.0) == ([], [found]), "it is still there after the time"
        wait_until(lambda: bool(asked))
    assert list(where.iterdir()) == []
    assert stop(house.lake) == ([], [])


def test_stop_says_when_nothing_watches(house: Lakehouse) -> None:
    with process("stop", "--lake", house.lake.root) as asking:
        out, _ = asking.communicate(timeout=60)
    assert (asking.returncode, out) == (0, f"Nothing watches {house.lake.root}.\n")


def test_stop_says_who_is_still_there_after_the_time(house: Lakehouse) -> None:
    with Presence(house.lake, lambda: None), process("stop", "--timeout", "0.2", "--lake", house.lake.root) as asking:
        out, err = asking.communicate(timeout=60)
    assert asking.returncode == 1
    assert out.startswith(f"Still running after 0.2 s: process {os.getpid()} on ") and "ask again" in err
