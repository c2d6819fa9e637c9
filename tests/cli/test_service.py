"""What a lake says of its watch, its log and its newest run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from carlake import lake as lakes
from carlake.watch.presence import Presence


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


def test_status_says_who_watches_and_does_not_advise_what_that_does(carlake: Callable, fresh: Path) -> None:
    at = ("--lake", fresh)
    assert carlake("simulate", *at, "--events", 5).code == 0
    before = carlake("status", *at)
    assert "carlake run --lake" in before.out and "watched" not in before.out
    with Presence(lakes.open(str(fresh)), lambda: None):
        said, document = carlake("status", *at), carlake("status", *at, "--json").json
    (watching,) = document["watched"]
    assert watching["pid"] == os.getpid()
    since = watching["started_at"].replace("T", " ")
    assert f"by process {os.getpid()} since {since}" in " ".join(said.out.split())
    assert "carlake run " not in said.out and "up to date" not in said.out
    assert carlake("status", *at, "--json").json["watched"] == []


def test_status_names_what_cannot_be_read(carlake: Callable, fresh: Path) -> None:
    for number in range(5):
        (fresh / "landing" / f"link{number}.json").symlink_to("/nowhere")
    said = carlake("status", "--lake", fresh)
    assert "5 objects cannot be read: link0.json, link1.json, link2.json, ..." in said.out
    assert f"carlake doctor --lake {fresh}" in said.out
