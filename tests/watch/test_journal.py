"""The lake's log: whole lines from many processes, bounded, and those of one run found again."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carlake import journal
from carlake.cli.log_lines import in_words
from carlake.errors import NotFoundError
from carlake.journal import Journal, lines_of
from lakes import lakehouse, nested, put
from watch.writing import write_many

SPAWN = multiprocessing.get_context("spawn")


def all_lines(folder: Path) -> Iterator[dict[str, Any]]:
    for file in folder.glob("carlake.log*"):
        for line in file.read_text().splitlines():
            yield json.loads(line)


def test_a_line_says_when_who_and_what(tmp_path: Path) -> None:
    heard: list[Any] = []
    Journal(tmp_path / "logs", also=heard.append).write("warning", "something", "run-1", table="t", nothing=None, no="")
    (line,) = all_lines(tmp_path / "logs")
    assert heard == [line]
    assert line.pop("time").endswith("Z") and line.pop("pid") > 0
    assert line == {"level": "warning", "event": "something", "run_id": "run-1", "table": "t"}


def test_the_log_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    log = Journal(tmp_path, 64 << 10)
    for number in range(2000):
        log.write("info", "line", f"run-{number}", filling="x" * 100)
    size = sum(file.stat().st_size for file in tmp_path.glob("carlake.log*"))
    assert 32 << 10 < size < (64 << 10) + 1000
    kept = {int(line["run_id"].removeprefix("run-")) for line in all_lines(tmp_path)}
    assert kept == set(range(min(kept), 2000)) and 100 < len(kept) < 2000


def test_a_file_that_another_process_has_just_put_aside_is_not_put_aside_again(tmp_path: Path) -> None:
    log = Journal(tmp_path)
    log.write("info", "line")
    log._rotate()  # decided on while the file was full, and come too late
    assert [path.name for path in tmp_path.glob("carlake.log*")] == ["carlake.log"]


def test_processes_share_the_log_and_its_rotation_tears_no_line(tmp_path: Path) -> None:
    # Much less than the limit, and several rotations: nothing may be dropped.
    workers = [SPAWN.Process(target=write_many, args=(tmp_path, f"w{number}", 250)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(list(tmp_path.glob("carlake.log.*"))) >= 2
    assert sorted(line["run_id"] for line in all_lines(tmp_path)) == sorted(
        f"w{worker}-{number}" for worker in range(3) for number in range(250)
    )


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    Journal(tmp_path / "logs").write("info", "line")
    assert (tmp_path / "logs").read_text() == "a file is in the way"


def test_a_run_leaves_its_lines_and_an_idle_one_none(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z"), "not json")
        report = house.run()
        where = journal.folder(house.lake)
        lines = list(lines_of(where, report.run_id))
        assert [line["event"] for line in lines[:2]] == ["run began", "landed"]
        assert [line["event"] for line in lines[-2:]] == ["quarantined", "run done"]
        assert {line["run_id"] for line in lines} == {report.run_id}
        # A line as each table is done: quarantine, which no table reads, last.
        done_in_order = sorted((step.table for step in report.steps), key=lambda name: name == "quarantine_car_data")
        assert [line["table"] for line in lines if "table" in line] == done_in_order
        done = lines[-1]
        assert (done["status"], done["records"], done["accepted"], done["quarantined"]) == ("succeeded", 2, 1, 1)
        assert list(lines_of(where, "last")) == lines == list(lines_of(where, report.run_id[:-3]))
        house.run()
        assert len(list(all_lines(where))) == len(lines)


def test_a_run_over_known_content_alone_says_at_its_end_that_there_was_nothing_to_do(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z"))
        first = house.run()
        put(house.lake.landing / "again.json", nested("A", "e1", "2025-10-01T00:00:00Z"))
        report = house.run()
        *_, done = lines_of(journal.folder(house.lake), report.run_id)
        assert (done["event"], done["outcome"], done["files_known"]) == ("run done", "nothing to do", 1)
        assert in_words(done).plain.split("  ")[2] == "1 file with known content, which adds nothing"
        assert set(house.runs("last")["run_id"].to_pylist()) == {first.run_id}
        with pytest.raises(NotFoundError, match=f"Run {report.run_id} changed nothing, and so was not written down"):
            house.runs(report.run_id)
        house.journal.write("info", journal.BEGUN, "lost-1")
        with pytest.raises(NotFoundError, match="Run lost-1 is not written down: it is under way"):
            house.runs("lost")
        with pytest.raises(NotFoundError, match="There is no run 'none-such'"):
            house.runs("none-such")


def test_an_object_that_cannot_be_taken_in_is_named_in_the_log(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        (house.lake.landing / "link.json").symlink_to("/nowhere")
        report = house.run()
        (line,) = [
            line for line in lines_of(journal.folder(house.lake), report.run_id) if line["event"] == "not taken in"
        ]
        assert line["object"].endswith("link.json") and "does not exist" in line["why"]


def test_a_run_that_the_log_does_not_have_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run 'last'"):
        list(lines_of(tmp_path, "last"))
    log = Journal(tmp_path)
    for name in ("2026-aa", "2026-ab"):
        log.write("info", journal.BEGUN, name)
    with pytest.raises(NotFoundError, match="2 runs in the log begin with '2026'"):
        list(lines_of(tmp_path, "2026"))
    assert [line["run_id"] for line in lines_of(tmp_path, "2026-aa")] == ["2026-aa"]


def test_following_goes_on_over_a_rotation_until_the_run_is_done(tmp_path: Path) -> None:
    log = Journal(tmp_path, 16 << 10)
    log.write("info", journal.BEGUN, "r1")
    heard: list[Any] = []
    at_three = threading.Event()

    def follow() -> None:
        for line in lines_of(tmp_path, "r1", follow=True):
            heard.append(line["number"] if "number" in line else line["event"])
            if line.get("number") == 2:
                at_three.set()

    follower = threading.Thread(target=follow)
    follower.start()
    for number in range(3):
        log.write("info", "line", "r1", number=number)
    assert at_three.wait(30)
    for number in range(3, 20):
        log.write("info", "line", "r1", number=number, filling="x" * 150)
    assert (tmp_path / "carlake.log.1").exists() and not (tmp_path / "carlake.log.3").exists()
    log.write("info", journal.DONE, "r1")
    log.write("info", "line", "r1", number="too late")
    follower.join(30)
    assert not follower.is_alive()
    assert heard == [journal.BEGUN, *range(20), journal.DONE]


def test_half_a_line_of_a_lost_machine_is_passed_over(tmp_path: Path) -> None:
    Journal(tmp_path).write("info", journal.BEGUN, "r1")
    with (tmp_path / "carlake.log").open("a") as file:
        file.write('{"time": "2026-11-21T00:00:00Z", "run_id": "r1", "ev\n')
    Journal(tmp_path).write("info", journal.DONE, "r1")
    assert [line["event"] for line in lines_of(tmp_path, "r1")] == [journal.BEGUN, journal.DONE]
