"""What a lake says of its watch, its log and its newest run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_the_last_run_is_the_same_one_in_the_list_and_in_the_log(carlake: Callable, fresh: Path) -> None:
    at = ("--lake", fresh)
    assert carlake("runs", "last", "--log", *at).code == carlake("runs", "last", *at).code == 2
    assert carlake("simulate", *at, "--events", 5).code == 0
    content = next((fresh / "landing").iterdir()).read_bytes()
    first = carlake("run", *at, "--json").json["run_id"]
    (fresh / "landing" / "again.jsonl").write_bytes(content)
    again = carlake("run", *at, "--json").json["run_id"]
    assert carlake("runs", "last", *at, "--json").json["run_id"] == first
    assert {line["run_id"] for line in carlake("runs", "last", "--log", *at, "--json").json} == {first}
    said = carlake("runs", again, *at)
    assert said.code == 2 and f"Run {again} changed nothing, and so was not written down." in said.err
    said = carlake("runs", again, "--log", *at)
    assert said.code == 0 and "1 file with known content, which adds nothing" in said.out.splitlines()[-1]
    (fresh / "catalog.db").unlink()
    assert again in carlake("runs", "last", "--log", *at).out, "the log can be read where no table can"
