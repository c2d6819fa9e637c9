"""The benchmark, run small: it measures every section, says what it found, and leaves no lake behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.figures import Figure, Section, Target, document, table

RUN = Path(__file__).parents[2] / "bench" / "run.py"
SECTIONS = ["to-gold", "many-files", "one-file", "new-events", "watch", "steady", "soak"]
OFTEN = ["to-gold"]
"""What every run of the tests measures; all of it is for `make test-all`, since each section takes a quarter of a minute."""


def bench(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    small = ["--events", "2000", "--files", "20", "--runs", "1", "--calls", "1", "--out", str(out)]
    small += ["--watch-files", "3", "--rate", "20", "--steady-seconds", "1", "--soak-commits", "3"]
    return subprocess.run([sys.executable, RUN, *small, *options], capture_output=True, text=True)


def _to_gold(figures: list[dict[str, Any]]) -> None:
    floor, own, memory, _, larger, larger_memory = figures
    assert floor["ratio"] == 1 and own["ratio"] == own["seconds"] / floor["seconds"]
    assert own["target"] == {"of": "ratio", "most": 3.0} and own["reached"] is (own["ratio"] <= 3.0)
    assert [line["details"]["silver_car_telemetry"]["rows_out"] for line in (own, larger)] == [2000, 6000]
    assert memory["peak_bytes"] == own["peak_bytes"] > 50_000_000
    assert larger_memory["peak_ratio"] == larger["peak_bytes"] / own["peak_bytes"]


def _many_files(figures: list[dict[str, Any]]) -> None:
    assert [line["details"]["bronze_car_data"]["rows_out"] for line in figures[:4]] == [20] * 4


def _one_file(figures: list[dict[str, Any]]) -> None:
    assert sum(line["target"] is not None for line in figures) == 4


def _new_events(figures: list[dict[str, Any]]) -> None:
    assert [line["details"]["silver_car_telemetry"]["rows_out"] for line in figures] == [1000, 1000]


def _watch(figures: list[dict[str, Any]]) -> None:
    assert [line["target"]["most"] for line in figures if line["target"]] == [0.25, 0.5, 1.0] * 2 + [1.2, 2.0]
    assert all(line["seconds"] > 0 for line in figures if line["target"]) and figures[0]["cpu_seconds"] > 0


def _steady(figures: list[dict[str, Any]]) -> None:
    assert all(line["seconds"] > 0 for line in figures[:2]) and figures[3]["peak_bytes"] > 50_000_000


def _soak(figures: list[dict[str, Any]]) -> None:
    assert all(len(line["details"]["samples"]) == 3 and min(line["details"]["samples"]) > 0 for line in figures[2:])


LOOKED_AT = dict(zip(SECTIONS, (_to_gold, _many_files, _one_file, _new_events, _watch, _steady, _soak), strict=True))


def test_every_section_is_measured_and_its_inputs_are_kept(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    sections = SECTIONS if pytestconfig.getoption("--matrix") == "all" else OFTEN
    page = tmp_path.parent / "page.md"
    page.write_text("Before.\n<!-- bench -->\nwhat was\n<!-- /bench -->\nAfter.\n", encoding="utf-8")
    only = [] if sections == SECTIONS else [word for name in sections for word in ("--only", name)]
    done = bench(tmp_path, "--page", str(page), *only)
    assert done.returncode == 0, done.stderr
    before, shown, after = page.read_text(encoding="utf-8").split("```")
    assert before == "Before.\n<!-- bench -->\n" and after == "\n<!-- /bench -->\nAfter.\n"
    assert shown.removeprefix("text\n").rstrip() in done.stdout
    found: dict[str, Any] = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [section["name"] for section in found["sections"]] == sections
    for section in found["sections"]:
        assert section["title"] in done.stdout
        for line in section["figures"]:
            assert line["what"] in done.stdout
            if line["seconds"] is not None and section["name"] not in SECTIONS[4:]:
                assert line["ratio"] > 0 and line["cpu_seconds"] > 0 and line["cpu_ratio"] > 0
        LOOKED_AT[section["name"]](section["figures"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs", "results.json"]

    # An input that is there is not made anew; and a lake that counts otherwise than the simulator is not measured.
    [about] = (tmp_path / "inputs").glob("2000-events-*/about.json")
    told = json.loads(about.read_text(encoding="utf-8"))
    about.write_text(json.dumps({**told, "events": 1999}), encoding="utf-8")
    again = bench(tmp_path, "--only", "to-gold", "--no-large", "--json")
    assert (again.returncode, again.stdout) == (1, "")
    assert "its speed would mean nothing" in again.stderr and "'accepted': 2000" in again.stderr
    assert not list(tmp_path.glob("work-*"))


@pytest.mark.parametrize(
    ("of", "most", "value", "cell", "reached"),
    [
        ("ratio", 3.0, 3.0, "<= 3 x", "yes"),
        ("ratio", 3.0, 3.01, "<= 3 x", "NO"),
        ("seconds", 0.4, 0.41, "<= 0.4 s", "NO"),
        ("peak_bytes", 2e9, 1_999_999_999, "<= 2.00 GB", "yes"),
        ("peak_ratio", 1.25, 1.3, "<= 1.25 x memory", "NO"),
    ],
)
def test_a_target_is_the_most_that_a_figure_may_be(of: Any, most: float, value: Any, cell: str, reached: str) -> None:
    section = Section("s", "Title", "the floor", [Figure("this", target=Target(of, most), **{of: value})])
    line = next(line for line in table([section]).splitlines() if line.startswith("  this"))
    assert cell in line
    assert line.split()[-1] == reached
    [figure] = document({}, [section])["sections"][0]["figures"]
    assert figure["reached"] is (reached == "yes")


def test_a_figure_without_a_target_says_neither() -> None:
    section = Section("s", "Title", "the floor", [Figure("this", seconds=1.0, ratio=2.0)], ["a note"])
    lines = table([section]).splitlines()
    assert lines[-1] == "  a note" and not {"yes", "NO"} & set(" ".join(lines).split())
    assert document({"cores": 2}, [section])["sections"][0]["figures"][0]["reached"] is None
