"""What a lake in an object store is: made, opened, refused; by the command line too."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from carlake import lake as lakes
from carlake.errors import LakeError, SettingsError
from carlake.lake_in_store import state_of
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from crashes.processes import CHILDREN, finish, start
from lakes import TODAY
from servers.versitygw import Server
from warehouse.lake_of_store import StoreLake, trip
from watch.running import COMMAND


def toml(lake: StoreLake) -> str:
    return lake.places.read(f"{lake.uri}/carlake.toml").decode()


def test_it_is_made_once_and_then_opened(lake: StoreLake) -> None:
    made = lakes.create(lake.uri, lake.settings())
    assert (made.location, made.uri) == (lake.uri, lake.uri)
    assert [found.path for found in lake.places.below(lake.uri)] == [f"{lake.uri}/carlake.toml"]
    before = toml(lake)
    assert lakes.create(f"{lake.uri}/", lake.settings()).id == made.id
    assert lakes.open(lake.uri, lake.settings()).id == made.id
    assert toml(lake) == before
    assert made.root == lake.folder / "state" / made.id


def test_of_several_processes_one_makes_it(lake: StoreLake) -> None:
    barrier = CHILDREN.Barrier(4)
    ids = [lake.folder / f"id-{number}" for number in range(4)]
    assert [finish(child) for child in [start(making, lake, barrier, path) for path in ids]] == [0] * 4
    assert {path.read_text() for path in ids} == {lakes.open(lake.uri, lake.settings()).id}


def making(lake: StoreLake, barrier: Any, to: Path) -> None:
    """In a child: make the lake when all are ready, and say its id."""
    barrier.wait(60)
    to.write_text(lakes.create(lake.uri, lake.settings()).id)


def test_its_own_settings_count_and_are_named_where_they_lie(lake: StoreLake) -> None:
    lakes.create(lake.uri, lake.settings())
    own = toml(lake)
    catalog = f'catalog = "sql"\ncatalog_uri = "sqlite:///{lake.folder}/catalog.db"\n'
    access = lake.settings()

    def opened(text: str) -> Lakehouse:
        lake.places.write(f"{lake.uri}/carlake.toml", (text + own).encode())
        found = lakes.open(lake.uri, access)
        return Lakehouse(found, Settings.load(lake=found.toml, environ={}))

    house = opened(catalog + "batch_files = 7\n")
    assert (house.settings.batch_files, house.settings.warehouse) == (7, f"{lake.uri}/warehouse")
    assert opened(catalog + 'warehouse = "s3://other/tables"\n').lake.warehouse_uri == "s3://other/tables"
    with pytest.raises(SettingsError, match=rf"{lake.uri}/carlake.toml:3: setting 'batch_files'"):
        opened(catalog + 'batch_files = "many"\n')
    with pytest.raises(SettingsError, match=r"carlake.toml:3: setting 'contracts' names 'x.yaml'.*object store"):
        opened(catalog + 'contracts = ["x.yaml"]\n')


def test_a_catalog_in_a_file_is_refused_before_anything_is_made(lake: StoreLake) -> None:
    settings = lake.settings(catalog="sqlite", catalog_uri=None)
    with pytest.raises(SettingsError, match=r"lies in an object store, and setting 'catalog' is \"sqlite\"") as refused:
        Lakehouse.create(lake.uri, settings)
    assert "CARLAKE_CATALOG_URI" in refused.value.advice
    assert list(lake.places.below(lake.uri)) == []
    lakes.create(lake.uri, lake.settings())
    with pytest.raises(SettingsError, match="lies in an object store"):
        Lakehouse.open(lake.uri, settings)


def test_what_is_no_lake_or_another_is_refused(lake: StoreLake) -> None:
    with pytest.raises(LakeError, match=f"There is no lake at {lake.uri}") as refused:
        lakes.open(lake.uri, lake.settings())
    assert refused.value.advice == f"Make one: carlake init --lake {lake.uri}"
    lake.land("waits.json", trip(1))
    lakes.create(lake.uri, lake.settings())  # objects may wait in landing already
    lake.places.write(f"{lake.uri}-copy/carlake.toml", toml(lake).encode())
    with pytest.raises(LakeError, match=rf"copy was made at {lake.uri}, .* Nothing was changed"):
        lakes.open(f"{lake.uri}-copy", lake.settings())
    copied = Lakehouse.doctor(f"{lake.uri}-copy", lake.settings()).findings
    assert [(finding.check, "was made at" in finding.what) for finding in copied] == [("lake-unreachable", True)]
    lake.places.write(f"{lake.uri}-full/thesis.txt", b"mine")
    with pytest.raises(LakeError, match=r"is not a lake: it holds .*/thesis\.txt"):
        lakes.create(f"{lake.uri}-full", lake.settings())
    lake.places.write(f"{lake.uri}/carlake.toml", toml(lake).replace("format = 1", "format = 99").encode())
    with pytest.raises(LakeError, match="has format 99"):
        lakes.open(lake.uri, lake.settings())


def test_a_store_out_of_reach_is_said_with_what_to_set(lake: StoreLake) -> None:
    nobody = {**lake.options, "endpoint": "http://127.0.0.1:9", "max_retries": "0"}
    with pytest.raises(LakeError, match=f"The lake at {lake.uri} cannot be reached") as refused:
        lakes.open(lake.uri, lake.settings(store_properties=nobody))
    assert "CARLAKE_STORE_PROPERTIES" in refused.value.advice


def test_what_is_of_the_machine_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_of("id", None) == tmp_path / "xdg" / "carlake" / "id"
    assert state_of("id", tmp_path) == tmp_path / "id"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_of("id", None) == tmp_path / ".local/state/carlake/id"
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert state_of("id", None) == tmp_path / "tmp" / "carlake" / "id"


def test_a_folder_of_the_machine_that_cannot_be_made_is_named(lake: StoreLake) -> None:
    lakes.create(lake.uri, lake.settings())
    (lake.folder / "file").write_text("")
    with pytest.raises(LakeError, match="for the log and temporary files of the lake") as refused:
        lakes.open(lake.uri, lake.settings(state_folder=lake.folder / "file"))
    assert "state_folder" in refused.value.advice


def test_the_command_line_takes_a_uri_and_the_environment(lake: StoreLake, server: Server) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CARLAKE_", "AWS_"))},
        **server.environment,
        "CARLAKE_LAKE": lake.uri,
        "CARLAKE_CATALOG": "sql",
        "CARLAKE_CATALOG_URI": f"sqlite:///{lake.folder}/catalog.db",
        "CARLAKE_STATE_FOLDER": str(lake.folder / "state"),
    }

    def carlake(*words: str) -> Any:
        command = [*COMMAND, *words, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    made = carlake("init")
    assert (made["lake"], made["created"], made["landing"]) == (lake.uri, True, f"{lake.uri}/landing")
    lake.land("a.json", *(trip(number) for number in range(4)))
    run = carlake("run", "--today", str(TODAY))
    assert (run["lake"], run["status"]) == (lake.uri, "succeeded")
    assert lake.below("landing") == []
    assert any(name.endswith(".parquet") for name in lake.below("warehouse"))
