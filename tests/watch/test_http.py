"""What a monitor asks a watch: it lives, it is ready, and its figures."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from carlake.journal import WATCH_BEGUN
from carlake.watch.figures import Figures
from carlake.watch.http import HttpError, Monitor, address
from lakes import BRONZE
from watch.running import event, process, until_line, wait_until, watching

ASKED = ("healthz", "readyz", "metrics")


def ask(url: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, kind and text of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def metrics(url: str) -> dict[tuple[str, str], float]:
    """Every figure by its name and its label's value, as Prometheus reads them."""
    status, kind, text = ask(f"{url}/metrics")
    assert status == 200 and kind.startswith("text/plain")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_the_figures_are_those_of_the_lake(small_folder: Path) -> None:
    with watching(small_folder / "lake") as running, Monitor(running.watch.figures, "127.0.0.1", 0) as monitor:
        running.land("a.json", event(1), event(1), event(2), "not json")
        running.land("b.json", event(3))
        running.until_landed(files=2)
        running.until(lambda: running.watch.figures.backlog_files == 0)
        found = metrics(monitor.url)
        for name, value in {
            "carlake_files_total": 2,
            "carlake_records_total": 5,
            "carlake_records_accepted_total": 3,
            "carlake_records_quarantined_total": 1,
            "carlake_records_duplicate_total": 1,
            "carlake_backlog_files": 0,
            "carlake_lag_seconds": 0,
            "carlake_up": 1,
            "carlake_visible_seconds_count": 2,
        }.items():
            assert found[name, ""] == value, name
        runs = found["carlake_runs_total", "succeeded"]
        assert runs >= 1
        for table in running.watch.figures.tables:
            assert found["carlake_refusals_total", table] == 0
            assert 0 <= found["carlake_table_freshness_seconds", table] < 60
            assert found["carlake_circuit_open", table] == 0
        assert found["carlake_commits_total", BRONZE] == runs == found["carlake_step_seconds_count", BRONZE]
        assert found["process_resident_memory_bytes", ""] > 0
        assert ask(f"{monitor.url}/readyz")[::2] == (200, '{"ok": true}\n')
        assert json.loads(ask(f"{monitor.url}/healthz")[2])["ok"] is True


def test_a_backlog_and_its_age_are_seen() -> None:
    figures = Figures([BRONZE])
    figures.waits(3, 300, 1, time.monotonic() - 5)
    with Monitor(figures, "127.0.0.1", 0) as monitor:
        found = metrics(monitor.url)
    assert (found["carlake_backlog_files", ""], found["carlake_backlog_bytes", ""]) == (3, 300)
    assert found["carlake_unfinished_files", ""] == 1 and 5 <= found["carlake_lag_seconds", ""] < 60


def test_it_is_not_ready_before_the_first_run_nor_with_an_open_circuit_nor_without_its_landing() -> None:
    figures = Figures([BRONZE])
    with Monitor(figures, "127.0.0.1", 0) as monitor:
        status, kind, text = ask(f"{monitor.url}/readyz")
        assert (status, kind, json.loads(text)["ok"]) == (503, "application/json", False)
        assert "first look" in json.loads(text)["starting"]
        assert metrics(monitor.url)["carlake_up", ""] == 0
        figures.ready = True
        assert ask(f"{monitor.url}/readyz")[0] == 200
        figures.open_circuits = (BRONZE,)
        assert json.loads(ask(f"{monitor.url}/readyz")[2]) == {"ok": False, "open_circuits": [BRONZE]}
        assert metrics(monitor.url)["carlake_circuit_open", BRONZE] == 1
        figures.open_circuits = ()
        figures.listing_error = "no such folder"
        assert json.loads(ask(f"{monitor.url}/readyz")[2]) == {"ok": False, "listing": "no such folder"}


def test_a_loop_that_is_stuck_is_not_healthy() -> None:
    figures = Figures([BRONZE])
    with Monitor(figures, "127.0.0.1", 0, stuck_seconds=0.2) as monitor:
        figures.beat()
        assert ask(f"{monitor.url}/healthz")[0] == 200
        figures.beaten -= 1
        status, _, text = ask(f"{monitor.url}/healthz")
        assert status == 503 and json.loads(text)["seconds_since_the_loop_was_seen"] > 0.2
        figures.beat()
        assert ask(f"{monitor.url}/healthz")[0] == 200


def test_other_questions_are_answered_plainly() -> None:
    with Monitor(Figures([BRONZE]), "127.0.0.1", 0) as monitor:
        assert all(name in ask(monitor.url)[2] for name in ASKED)
        assert ask(f"{monitor.url}/../etc/passwd")[0] == 404
        assert ask(f"{monitor.url}/healthz/?verbose=1")[0] == 200
        assert ask(f"{monitor.url}/healthz", "HEAD")[::2] == (200, "")
        assert ask(f"{monitor.url}/healthz", "POST")[0] == 501


def test_many_may_ask_while_one_says_nothing() -> None:
    with Monitor(Figures([BRONZE]), "127.0.0.1", 0) as monitor:
        host, port = monitor.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))):
            assert [ask(f"{monitor.url}/healthz")[0] for _ in range(5)] == [200] * 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("9464", ("127.0.0.1", 9464)),
        (":0", ("127.0.0.1", 0)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_an_address_without_a_host_is_this_machine_alone(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:", ":http", "1:70000", ":-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(HttpError, match="no address for HTTP"):
        address(text)


def test_a_port_that_is_taken_is_said() -> None:
    figures = Figures([BRONZE])
    with Monitor(figures, "127.0.0.1", 0) as monitor:
        port = int(monitor.url.rpartition(":")[2])
        with pytest.raises(HttpError, match=f"127.0.0.1:{port} cannot be had"):
            Monitor(figures, "127.0.0.1", port)


def test_the_command_prints_where_it_answers(small_folder: Path) -> None:
    with watching(small_folder / "lake", until_idle=True) as running:
        running.join()
    with process("watch", "--lake", small_folder / "lake", "--http", ":0") as watch:
        url = until_line(watch.stderr, "http answers")["url"]
        until_line(watch.stderr, WATCH_BEGUN)
        assert url.startswith("http://127.0.0.1:")
        wait_until(lambda: ask(f"{url}/readyz")[0] == 200)
        watch.terminate()
        assert watch.wait(30) == 0
