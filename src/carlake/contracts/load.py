"""Contract files: reading them, refusing their mistakes by line, and their published JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, get_args

from carlake.contracts import document
from carlake.contracts.contract import (
    DEFAULT_MAX_RECORD_BYTES,
    RESERVED_KEY,
    Contract,
    ContractSet,
    Field,
    Path,
    path_of,
    text_of,
)
from carlake.contracts.document import Key, Node, nearest
from carlake.contracts.times import DIRECTIVES, TimeFormat, known_zone
from carlake.errors import ContractError
from carlake.tables.silver_car_telemetry import LANDED, RESERVED
from carlake.tables.table import Column, ColumnType

SHIPPED = ("car_event", "car_metrics", "car_snapshot")
SCHEMA_FILE = FilePath(__file__).with_name("contract.schema.json")

# event_version is processing_timestamp, else the object's modification time: that is a rule, not a field.
FILLABLE = {column.name: column for column in LANDED if column.name != "event_version"}
ALWAYS_REQUIRED = ("car_chassis", "event_timestamp")
TYPES = tuple(name for name in get_args(ColumnType) if name not in ("decimal(18,3)", "binary"))
_TIMES = ("timestamptz", "date")
_NUMBERS = ("int", "long", "double")

_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_TEXT = {"type": "string", "minLength": 1}
_PATH = {**_TEXT, "description": "keys from the record's top, joined by dots; `\\.` is a dot inside a key"}
_LOCATION = {
    "path": Key("where the value lies in the record", _PATH),
    "paths": Key(
        "where the value may lie: the first that is not null wins", {"type": "array", "items": _PATH, "minItems": 1}
    ),
    "required": Key("a record without it goes to quarantine", {"type": "boolean", "default": False}),
    "format": Key(
        f"strptime format of a time or day; without it ISO 8601. Directives: {' '.join('%' + d for d in DIRECTIVES)} %%",
        {**_TEXT, "pattern": "%"},
    ),
    "zone": Key("zone of times that name none: UTC, +02:00 or an IANA name", _TEXT),
}
_COLUMN = {
    "name": Key("the column's name in silver", {"type": "string", "pattern": _NAME}, required=True),
    "type": Key("the column's type", {"enum": list(TYPES)}, required=True),
    "doc": Key("what the column means", _TEXT, required=True),
    "unit": Key("UCUM code of the unit", _TEXT),
    "minimum": Key("smallest value that is not a mistake", {"type": "number"}),
    "maximum": Key("greatest value that is not a mistake", {"type": "number"}),
    "personal": Key("whether it is data about a person", {"type": "boolean", "default": False}),
    **_LOCATION,
}
_CONTRACT = {
    "contract": Key("the contract's name", {"type": "string", "pattern": _NAME}, required=True),
    "version": Key("its version, a whole number from 1", {"type": "integer", "minimum": 1}, required=True),
    "description": Key("which feed it is for", _TEXT),
    "recognised_by": Key(
        "alternatives: a record is of this shape if all paths of one line are there and not null",
        {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": _PATH}},
        required=True,
    ),
    "fields": Key("silver column: path, or {path or paths, required, format, zone}", {}, required=True),
    "columns": Key("columns that only this feed has", {}),
}

# Names that silver's and the alerts' SQL use themselves, and words that SQL does not take as a column's name.
_WORDS = """loser_id loser_row version_rank alert_type title direction unit alert_value
    all analyse analyze and anti any array as asc asymmetric authorization between both by case cast check collate column
    constraint create cross current_date current_time current_timestamp current_user default deferrable delete desc describe
    distinct do drop else end escape except exists false fetch filter for foreign from full glob grant group having ilike in
    initially inner insert intersect into is isnull join lambda lateral leading left like limit map minus natural not notnull
    null offset on only or order outer overlaps partition pivot pivot_wider placing positional primary qualify references
    returning right row rows select semi session_user show similar some summarize symmetric table tablesample then to trailing
    true try_cast union unique unknown unpivot update user using values variadic verbose when where window with"""
_TAKEN = frozenset(_WORDS.split())


def schema() -> dict[str, Any]:
    """The published JSON Schema of a contract file, so that editors complete it and point at mistakes."""
    choice = [
        {"required": ["path"], "not": {"required": ["paths"]}},
        {"required": ["paths"], "not": {"required": ["path"]}},
    ]
    result = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "carlake contract",
        "description": "How one shape of car record is recognised, and where each silver column lies in it.",
        **document.object_schema(_CONTRACT),
        "$defs": {
            "field": {"anyOf": [_PATH, {**document.object_schema(_LOCATION), "oneOf": choice}]},
            "column": {**document.object_schema(_COLUMN), "oneOf": choice},
        },
    }
    result["properties"]["fields"].update(
        type="object",
        properties={
            column.name: {"description": _described(column), "$ref": "#/$defs/field"} for column in FILLABLE.values()
        },
        required=list(ALWAYS_REQUIRED),
        additionalProperties=False,
    )
    result["properties"]["columns"].update(type="array", items={"$ref": "#/$defs/column"})
    return result


def _described(column: Column) -> str:
    return f"{column.doc} ({column.type}{', ' + column.unit if column.unit else ''})"


def load(
    paths: Sequence[str | FilePath] = (), *, off: Sequence[str] = (), max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
) -> ContractSet:
    """The contracts of a lake: the shipped ones but those in `off`, then those of `paths` (files and folders), in order.

    Raises ContractError for a mistake, with file, line and what is allowed there.
    """
    for name in off:
        if name not in SHIPPED:
            raise ContractError(
                f"contract `{name}` cannot be switched off: it is not a shipped one{nearest(name, SHIPPED)}",
                f"Shipped are {', '.join(SHIPPED)}; to leave out another, take its file out of the settings.",
            )
    shipped = [FilePath(__file__).with_name(f"{name}.yaml") for name in SHIPPED if name not in off]
    contracts: dict[str, Contract] = {}
    columns: dict[str, tuple[Column, str]] = {}
    for file in [*shipped, *document.files(paths)]:
        node = document.read(file)
        contract = _contract(node)
        if contract.name in contracts:
            advice = "Give it another name"
            if contract.name in SHIPPED and contract.name not in off:
                advice += ", or switch the shipped one off in the settings"
            raise node.mapping(_CONTRACT)["contract"].mistake(
                f"there is another contract `{contract.name}`", f"{advice}."
            )
        for column in contract.columns:
            other, where = columns.setdefault(column.name, (column, str(file)))
            if other != column:
                raise node.mistake(
                    f"column `{column.name}` is declared otherwise in {where}",
                    "Declare it there and here with the same type, unit, doc, range and personal, or name it otherwise.",
                )
        contracts[contract.name] = contract
    if not contracts:
        raise ContractError(
            "no contract is left: all shipped ones are switched off", "Leave one on, or name one in `contracts`."
        )
    return ContractSet(tuple(contracts.values()), max_record_bytes)


def _contract(node: Node) -> Contract:
    keys = node.mapping(_CONTRACT)
    fields = _fields(keys["fields"])
    columns: list[Column] = []
    for item in keys["columns"].list() if "columns" in keys else ():
        field = _column(item)
        if field.column in columns or field.column.name in {column.name for column in columns}:
            raise item.mistake(f"column `{field.column.name}` is declared twice", "Keep one of the two.")
        columns.append(field.column)
        fields.append((item, field))
    _refuse_overlaps(fields)
    return Contract(
        name=_name(keys["contract"]),
        version=keys["version"].integer(1),
        description=keys["description"].text() if "description" in keys else "",
        recognised_by=_recognition(keys["recognised_by"]),
        fields=tuple(field for _, field in fields),
        columns=tuple(columns),
    )


def _name(node: Node) -> str:
    name = node.text()
    if not (name.isascii() and name.isidentifier() and name == name.lower() and name[0] != "_" and len(name) <= 63):
        raise node.mistake(
            f"`{name}` is not a name", "A name is lower case letters, digits and _, beginning with a letter."
        )
    return name


def _recognition(node: Node) -> tuple[tuple[Path, ...], ...]:
    lines = []
    for line in node.list():
        paths = tuple(_path(item) for item in line.list())
        if not paths:
            raise line.mistake("this line names no key: every record would have it", "Name the keys, as [trip_data].")
        lines.append(paths)
    if not lines:
        raise node.mistake("nothing recognises this shape", "Give at least one line of keys, as - [trip_data].")
    return tuple(lines)


def _path(node: Node) -> Path:
    text = node.text()
    try:
        path = path_of(text)
    except ValueError:
        raise node.mistake(
            f"`{text}` is not a path", "A path is keys joined by dots, as trip_data.speed; \\. is a dot in a key."
        ) from None
    if path[0] == RESERVED_KEY:
        raise node.mistake(f"`{RESERVED_KEY}` is carlake's own mark of CSV rows", "Name a key that the feed has.")
    return path


def _fields(node: Node) -> list[tuple[Node, Field]]:
    found: dict[str, tuple[Node, Field]] = {}
    for name, (key, value) in node.items().items():
        if name not in FILLABLE:
            if name in RESERVED:
                raise key.mistake(f"`{name}` is computed by carlake", "Take this line out.")
            raise key.mistake(
                f"silver has no column `{name}`{nearest(name, FILLABLE)}",
                f"Declare it under `columns`, or fill one of {document.listed(FILLABLE)}.",
            )
        found[name] = (key, _field(FILLABLE[name], value))
    for name in ALWAYS_REQUIRED:
        if name not in found:
            raise node.mistake(f"`{name}` is missing", f"Add `{name}: <path>`: {FILLABLE[name].doc}.")
    if "event_primary_timestamp" not in found:
        # The text of the event's time, as landed.
        key, time = found["event_timestamp"]
        found["event_primary_timestamp"] = (key, Field(FILLABLE["event_primary_timestamp"], time.paths))
    return sorted(found.values(), key=lambda item: list(FILLABLE).index(item[1].column.name))


def _field(column: Column, node: Node) -> Field:
    if not node.is_mapping():
        return _checked(column, {"path": node}, node)
    keys = node.mapping(_LOCATION)
    return _checked(column, keys, node)


def _checked(column: Column, keys: dict[str, Node], node: Node) -> Field:
    """The field that the keys of _LOCATION describe."""
    if ("path" in keys) == ("paths" in keys):
        raise node.mistake(f"`{column.name}` needs either `path` or `paths`", "Write path: a.b, or paths: [a.b, c].")
    paths = tuple(map(_path, keys["paths"].list())) if "paths" in keys else (_path(keys["path"]),)
    if not paths:
        raise keys["paths"].mistake("no path is given", "Name at least one.")
    required = keys["required"].boolean() if "required" in keys else column.name in ALWAYS_REQUIRED
    if column.name in ALWAYS_REQUIRED and not required:
        raise keys["required"].mistake(f"`{column.name}` is always required", "Take `required: false` out.")
    for key in ("format", "zone"):
        if key in keys and column.type not in _TIMES:
            raise keys[key].mistake(
                f"`{column.name}` is {column.type}: it has no {key}", "Only times and dates have one."
            )
    format = _format(keys["format"]) if "format" in keys else None  # noqa: A001
    zone = keys["zone"].text() if "zone" in keys else None
    if zone is not None and not known_zone(zone):
        raise keys["zone"].mistake(
            f"`{zone}` is not a zone", "Write UTC, an offset as +02:00, or an IANA name as Europe/Rome."
        )
    if format and zone is None and column.type == "timestamptz" and "z" not in format.directives:
        raise keys["format"].mistake("this format has no zone (%z)", "Add `zone:`, as zone: UTC.")
    return Field(column, paths, required, format, zone)


def _format(node: Node) -> TimeFormat:
    format = TimeFormat(node.text())  # noqa: A001
    advice = f"Directives: {' '.join('%' + letter for letter in DIRECTIVES)} %%."
    try:
        letters = format.directives
    except ValueError as error:
        raise node.mistake(f"`{error}` is not a directive that carlake reads", advice) from None
    if not letters:
        raise node.mistake(f"`{format.text}` has no % directive", advice)
    if len(set(letters)) < len(letters):
        raise node.mistake(f"`{format.text}` has a directive twice", advice)
    if not ({"Y", "y"} & set(letters) and {"m", "b", "B"} & set(letters) and "d" in letters):
        raise node.mistake(f"`{format.text}` does not give year, month and day", advice)
    if ("I" in letters) != ("p" in letters) or {"H", "I"} <= set(letters):
        raise node.mistake(f"`{format.text}` does not give the hour once", "Use %H, or %I with %p.")
    return format


def _column(node: Node) -> Field:
    keys = node.mapping(_COLUMN)
    name = _name(keys["name"])
    if name in RESERVED or name in _TAKEN:
        advice = f"Fill it under `fields`: {name}: <path>." if name in FILLABLE else "Choose another name."
        raise keys["name"].mistake(f"`{name}` cannot be added: carlake has or uses that name itself", advice)
    type_ = keys["type"].choice(TYPES)
    bounds = {key: keys[key].number() for key in ("minimum", "maximum") if key in keys}
    for key in bounds:
        if type_ not in _NUMBERS:
            raise keys[key].mistake(f"`{name}` is {type_}: it has no {key}", f"Only {', '.join(_NUMBERS)} have one.")
    if len(bounds) == 2 and bounds["minimum"] > bounds["maximum"]:
        raise keys["minimum"].mistake("the minimum is greater than the maximum", "No value would be accepted.")
    column = Column(
        name,
        type_,  # type: ignore[arg-type]  # one of TYPES
        keys["doc"].text(),
        unit=keys["unit"].text() if "unit" in keys else "",
        minimum=bounds.get("minimum"),
        maximum=bounds.get("maximum"),
        personal=keys["personal"].boolean() if "personal" in keys else False,
    )
    return _checked(column, {key: keys[key] for key in _LOCATION if key in keys}, node)


def _refuse_overlaps(fields: list[tuple[Node, Field]]) -> None:
    """A path cannot be a value for one column and an object with values for another."""
    paths = {path for _, field in fields for path in field.paths}
    for node, field in fields:
        for path in field.paths:
            for depth in range(1, len(path)):
                if path[:depth] in paths:
                    raise node.mistake(
                        f"`{text_of(path)}` lies inside `{text_of(path[:depth])}`, which is itself the value of a column",
                        "A path is either one value or a block of values.",
                    )
