"""Contract files: what they give, and each mistake with its line and what is allowed there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from carlake.contracts.document import schema_text
from carlake.contracts.load import SCHEMA_FILE, SHIPPED, load, schema
from carlake.errors import ContractError
from carlake.tables.silver_car_telemetry import LANDED
from carlake.tables.table import Column

GOOD = """\
contract: van
version: 2
description: Vans of another maker.
recognised_by:
  - [van.id]
fields:
  car_chassis: van.id
  event_timestamp: {path: at, format: "%d/%m/%Y %H:%M", zone: Europe/Rome}
  model: {paths: [van.model, model]}
columns:
  - {name: cabin_temp_celsius, type: double, unit: Cel, doc: cabin, path: cabin.temp, minimum: -60, maximum: 100}
"""


def written(folder: Path, text: str, name: str = "van.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_the_shipped_contracts_in_order() -> None:
    contracts = load()
    assert tuple(contract.name for contract in contracts.contracts) == SHIPPED == tuple(contracts.canonical)
    assert contracts.extra_columns == ()
    for contract in contracts.contracts:
        fields = contract.field_of
        assert fields["car_chassis"].required and fields["event_timestamp"].required
        assert fields["event_id"].required == (contract.name == "car_event")
        # A record without its car, time or id must still be recognised, so that it is refused for what it lacks.
        for field in (field for field in contract.fields if field.required):
            (path,) = field.paths
            assert any(path not in line for line in contract.recognised_by), field


def test_a_contract_of_ones_own(tmp_path: Path) -> None:
    contracts = load([written(tmp_path, GOOD)])
    van = contracts.contracts[-1]
    assert (van.name, van.version, van.description) == ("van", 2, "Vans of another maker.")
    assert van.recognised_by == ((("van", "id"),),)
    assert van.field_of["model"].paths == (("van", "model"), ("model",))
    assert van.field_of["event_primary_timestamp"].paths == (("at",),)
    assert contracts.extra_columns == (
        Column("cabin_temp_celsius", "double", "cabin", unit="Cel", minimum=-60.0, maximum=100.0),
    )
    assert contracts.parsed_columns[len(LANDED)] == contracts.extra_columns[0]
    assert contracts.hints["car_chassis"] == ("carChassis", "id")


def test_a_folder_gives_its_files_by_name(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("contract: van", "contract: b"), "2.yaml")
    written(tmp_path, GOOD.replace("contract: van", "contract: a"), "1.yml")
    written(tmp_path, "not yaml: [", "notes.txt")
    assert list(load([tmp_path]).canonical) == [*SHIPPED, "a", "b"]
    assert len(load([tmp_path]).extra_columns) == 1  # declared alike in both


def test_shipped_contracts_can_be_switched_off(tmp_path: Path) -> None:
    assert list(load(off=["car_metrics"]).canonical) == ["car_event", "car_snapshot"]
    own = written(tmp_path, GOOD.replace("contract: van", "contract: car_event"))
    assert list(load([own], off=["car_event"]).canonical) == ["car_metrics", "car_snapshot", "car_event"]
    with pytest.raises(ContractError, match="did you mean `car_event`"):
        load(off=["car_events"])
    with pytest.raises(ContractError, match="no contract is left"):
        load(off=SHIPPED)


def test_the_canonical_text_is_of_meaning_not_of_wording(tmp_path: Path) -> None:
    def text(content: str) -> str:
        return load([written(tmp_path, content)]).canonical["van"]

    same = GOOD.replace("Vans of another maker.", "Other words.").replace("doc: cabin", "doc: the cabin")
    same = "# a comment\n" + same.replace("car_chassis: van.id", "car_chassis: {paths: [van.id], required: true}")
    assert text(same) == text(GOOD)
    assert json.loads(text(GOOD))["order"] == 3
    for old, new in [
        ("version: 2", "version: 3"),
        ("[van.id]", "[van.ID]"),
        ("van.model, model", "model, van.model"),
        ("%H:%M", "%H.%M"),
        ("Europe/Rome", "UTC"),
        ("maximum: 100", "maximum: 90"),
        ("type: double", "type: int"),
    ]:
        assert text(GOOD.replace(old, new)) != text(GOOD), old


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "allowed"),
    [
        ("fields:", "feilds:", 6, "`feilds` is not a key.*did you mean `fields`", "contract, version"),
        ("version: 2\n", "", 1, "`version` is missing", "whole number"),
        ("version: 2", "version: two", 2, "`two` is not a whole number", "1, 2"),
        ("version: 2", "version: 0", 2, "`0` is not a whole number of 1 or more", "1"),
        ("version: 2", "version: 2\nversion: 3", 3, "`version` is given twice", "line 2"),
        ("contract: van", "contract: Van-1", 1, "`Van-1` is not a name", "lower case"),
        ("contract: van", "contract: yes", 1, "text is wanted here, this is true or false", "quote"),
        (
            "contract: van",
            "contract: car_event",
            1,
            "there is another contract `car_event`",
            "switch the shipped one off",
        ),
        ("  - [van.id]\n", "  []\n", 5, "nothing recognises this shape", "- \\[trip_data\\]"),
        ("  - [van.id]", "  - []", 5, "names no key", "keys"),
        ("  - [van.id]", "  - van.id", 5, "this is text, not a list", "list"),
        ("model: {paths", "modle: {paths", 9, "no column `modle`: did you mean `model`", "manufacturer"),
        ("model: {paths", "oil_status: {paths", 9, "`oil_status` is computed by carlake", "out"),
        ("model: {paths", "event_version: {paths", 9, "`event_version` is computed by carlake", "out"),
        ("model: {paths", "model: {path", 9, "this is a list, not a plain value", "one value"),
        ("model: {paths: [van.model, model]}", "model: {}", 9, "either `path` or `paths`", "path: a.b"),
        ("model: {paths: [van.model, model]}", "model: {paths: []}", 9, "no path", "one"),
        (
            "model: {paths: [van.model, model]}",
            "model: {path: a, requird: true}",
            9,
            "did you mean `required`",
            "required",
        ),
        ("model: {paths: [van.model, model]}", "model: {path: a, required: 1}", 9, "neither true nor false", "true"),
        ("model: {paths: [van.model, model]}", "model: a..b", 9, "`a..b` is not a path", "dots"),
        ("model: {paths: [van.model, model]}", "model: $format", 9, "own mark of CSV", "key"),
        ("model: {paths: [van.model, model]}", "model: van.id.x", 9, "lies inside `van.id`", "one value or a block"),
        ("model: {paths: [van.model, model]}", "model: {path: a, zone: UTC}", 9, "it has no zone", "times"),
        ("model: {paths: [van.model, model]}", "model: 5", 9, "text is wanted here, this is a whole number", "quote"),
        ("  car_chassis: van.id\n", "", 7, "`car_chassis` is missing", "car_chassis: <path>"),
        ("car_chassis: van.id", "car_chassis: {path: van.id, required: false}", 7, "is always required", "out"),
        ("%d/%m/%Y %H:%M", "dd/mm", 8, "has no % directive", "%Y"),
        ("%d/%m/%Y %H:%M", "%d/%m/%Y %Q", 8, "`%Q` is not a directive", "%H"),
        ("%d/%m/%Y %H:%M", "%d/%H %H:%M", 8, "has a directive twice", "%H"),
        ("%d/%m/%Y %H:%M", "%d %H:%M", 8, "does not give year, month and day", "%Y"),
        ("%d/%m/%Y %H:%M", "%d/%m/%Y %I:%M", 8, "does not give the hour once", "%p"),
        (", zone: Europe/Rome", "", 8, "has no zone", "zone: UTC"),
        ("Europe/Rome", "Europe/Roma", 8, "`Europe/Roma` is not a zone", "Europe/Rome"),
        ("Europe/Rome", '"+02:00x"', 8, "is not a zone", "02:00"),
        ("type: double", "type: float", 11, "`float` is not allowed here", "double"),
        ("name: cabin_temp_celsius", "name: year", 11, "`year` cannot be added", "year: <path>"),
        ("name: cabin_temp_celsius", "name: select", 11, "`select` cannot be added", "another name"),
        ("name: cabin_temp_celsius", "name: Cabin", 11, "`Cabin` is not a name", "lower case"),
        ("doc: cabin, ", "", 11, "`doc` is missing", "means"),
        ("minimum: -60", "minimum: cold", 11, "`cold` is not a number", "100"),
        ("minimum: -60", "minimum: 200", 11, "greater than the maximum", "accepted"),
        ("type: double", "type: string", 11, "it has no minimum", "double"),
        ("contract: van", "contract: 'van", 12, "not YAML", "quotes"),
        (GOOD, "", 1, "the file is empty", "declaration"),
        (GOOD, "- a", 1, "this is a list, not a mapping", "key: value"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, what: str, allowed: str
) -> None:
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ContractError) as raised:
        load([file])
    assert raised.value.what.startswith(f"{file}, line {line}: "), raised.value.what
    assert re.search(what, raised.value.what), raised.value.what
    assert re.search(allowed, raised.value.advice), raised.value.advice


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"none\.yaml does not exist"):
        load([tmp_path / "none.yaml"])
    (tmp_path / "latin.yaml").write_bytes(b"contract: caf\xe9")
    with pytest.raises(ContractError, match="not UTF-8"):
        load([tmp_path / "latin.yaml"])


def test_two_contracts_may_not_declare_one_column_differently(tmp_path: Path) -> None:
    first = written(tmp_path, GOOD)
    other = GOOD.replace("contract: van", "contract: bus").replace("maximum: 100", "maximum: 90")
    with pytest.raises(ContractError, match="`cabin_temp_celsius` is declared otherwise"):
        load([first, written(tmp_path, other, "bus.yaml")])


def test_the_published_schema_is_not_stale() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(schema()), f"write schema_text(schema()) to {SCHEMA_FILE}"


def test_the_schema_accepts_what_the_loader_accepts() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    for name in SHIPPED:
        validator.validate(yaml.safe_load((SCHEMA_FILE.parent / f"{name}.yaml").read_text()))
    validator.validate(yaml.safe_load(GOOD))
    for old, new in [
        ("fields:", "feilds:"),
        ("version: 2", "version: 0"),
        ("model: {paths", "modle: {paths"),
        ("  - [van.id]", "  - []"),
        ("type: double", "type: float"),
        ("{paths: [van.model, model]}", "{path: a, paths: [b]}"),
        ("  car_chassis: van.id\n", ""),
    ]:
        assert not validator.is_valid(yaml.safe_load(GOOD.replace(old, new))), new
