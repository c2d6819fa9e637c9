"""Settings: every key with its type, default and meaning, and where its value comes from.

Plain pydantic and not pydantic-settings: the layers are read here anyway, so that an error can name file and line, and
pydantic-settings would add about 0.17 s to the start of every command.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from carlake.errors import SettingsError

PREFIX = "CARLAKE_"
CATALOGS = ("sqlite", "sql", "rest", "hive", "glue", "dynamodb", "bigquery", "in-memory")
"""`sqlite` is the lake's own file; the others are the catalog types of PyIceberg."""
_NEED_URI = ("sql", "rest", "hive")
_OTHER_VARIABLES = ("CARLAKE_LAKE", "CARLAKE_SETTINGS")  # options of the command line, not settings
_PATH_KEYS = ("contracts", "rules")
_SIZE_KEYS = ("max_record_bytes", "memory_limit", "batch_bytes", "target_file_bytes")
_SIZE = re.compile(r"\s*\d+(\.\d+)?\s*([KMGT]i?B|B)?\s*", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,127}")


class Settings(BaseModel):
    """All settings of a lake. `Settings(...)` checks what it is given; `Settings.load(...)` reads every layer.

    Frozen. Raises `SettingsError` for an unknown key (naming the nearest), a wrong type or a value out of range.
    Sizes are bytes, or text such as "16 MiB". Secrets are never in its text or in an error.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False, allow_inf_nan=False
    )

    namespace: str = Field("carlake", description="Namespace of the tables in the catalog.")
    catalog: str = Field(
        "sqlite",
        description='Catalog that holds the tables: "sqlite" (the lake\'s own file) or a catalog type of PyIceberg: '
        + ", ".join(f'"{name}"' for name in CATALOGS[1:])
        + ".",
    )
    catalog_uri: SecretStr | None = Field(None, description="Address of the catalog, where it is not the lake's own.")
    catalog_properties: dict[str, SecretStr] = Field(
        default_factory=dict, description="Further properties of the catalog, as PyIceberg names them."
    )
    contracts: tuple[Path, ...] = Field(
        (), description="Contract files of your own, after the shipped ones. Relative to the file that names them."
    )
    contracts_off: tuple[str, ...] = Field((), description="Names of shipped contracts that are switched off.")
    rules: tuple[Path, ...] = Field(
        (), description="Files of alert rules of your own. Relative to the file that names them."
    )
    max_record_bytes: Annotated[ByteSize, Field(ge=1024, le=2**30)] = Field(
        ByteSize(16 * 2**20), description="A record longer than this goes to quarantine."
    )
    after_landing: Literal["move", "leave", "delete"] = Field(
        "move", description="What becomes of an object in the lake's own landing folder once its rows are committed."
    )
    silver_partition: Literal["month", "day"] = Field(
        "month", description="Partition silver by month, or by day for a large fleet."
    )
    engine: Literal["duckdb"] = Field("duckdb", description="What computes.")
    memory_limit: Annotated[ByteSize, Field(ge=128 * 2**20)] = Field(
        ByteSize(2**30), description="Memory that the engine may take before it spills to disk."
    )
    threads: int = Field(0, ge=0, le=1024, description="Threads that the engine may use; 0 takes all cores.")
    batch_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(2 * 2**30), description="One commit of landing takes objects up to this size in all, but at least one."
    )
    batch_files: int = Field(10_000, ge=1, description="One commit of landing takes at most so many objects.")
    query_timeout_seconds: float = Field(60.0, gt=0, description="Time limit of one query.")
    target_file_bytes: Annotated[ByteSize, Field(ge=2**20)] = Field(
        ByteSize(32 * 2**20),
        description="Size that data files are aimed at; a correction rewrites the files it touches.",
    )

    def __init__(self, **values: Any) -> None:
        given = {key: value for key, value in values.items() if isinstance(value, _Given)}
        try:
            super().__init__(**{**values, **{key: item.value for key, item in given.items()}})
        except ValidationError as error:
            raise _refusal(error, given) from None

    @classmethod
    def load(
        cls,
        *,
        lake: Path | None = None,
        file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        **explicit: Any,
    ) -> Settings:
        """Read all layers; the first that has a key wins: `explicit`, `environ`, `file`, `lake`, the defaults.

        lake      the lake's `carlake.toml`; its `[lake]` table is the lake's own and holds no settings
        file      a settings file (TOML) that the user names
        environ   variables `CARLAKE_<KEY>`; the process's own if None. Lists as JSON, or separated by `:` (paths) or
                  `,` (names); an empty value counts as not set
        explicit  keys given by the caller; None counts as not given

        Raises `SettingsError` naming the file and line, variable or argument at fault.
        """
        layers = [
            _explicit_layer(explicit),
            _environment_layer(os.environ if environ is None else environ),
            *([_file_layer(file, whole=True)] if file else []),
            *([_file_layer(lake, whole=False)] if lake else []),
        ]
        given: dict[str, _Given] = {}
        for layer in layers:
            for key, item in layer.items():
                given.setdefault(key, item)
        return cls(**given)

    @field_validator("*", mode="before")
    @classmethod
    def _no_setting_is_a_switch(cls, value: Any) -> Any:
        if isinstance(value, bool):  # pydantic would take true for the number 1
            raise ValueError("true and false mean nothing here")
        return value

    @field_validator("namespace")
    @classmethod
    def _namespace_that_engines_take(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                "query engines take a name of lower-case letters, digits and _ that begins with a letter; "
                f"use {engine_name(value)!r}"
            )
        return value

    @field_validator("catalog")
    @classmethod
    def _known_catalog(cls, value: str) -> str:
        if value not in CATALOGS:
            raise ValueError(f"there is no such catalog type; {_nearest(value, CATALOGS)}")
        return value

    @field_validator(*_SIZE_KEYS, mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        if isinstance(value, str) and not _SIZE.fullmatch(value):  # ByteSize would take "16 MiBs" for 16 MiB
            raise ValueError('a size is a number of bytes, or text such as "16 MiB"')
        return value

    @field_validator(*_PATH_KEYS)
    @classmethod
    def _absolute_paths(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().absolute() for path in value)

    @model_validator(mode="after")
    def _catalog_has_its_address(self) -> Settings:
        if self.catalog == "sqlite" and self.catalog_uri is not None:
            raise ValueError("setting 'catalog_uri' has no use with catalog = 'sqlite', the lake's own file")
        if self.catalog in _NEED_URI and self.catalog_uri is None:
            raise ValueError(f"setting 'catalog_uri' is needed with catalog = {self.catalog!r}")
        return self


@dataclass(frozen=True)
class Setting:
    """One key, for reference pages and for the comments of a new `carlake.toml`. `default` is TOML text or empty."""

    key: str
    variable: str
    type: str
    default: str
    doc: str


def reference() -> tuple[Setting, ...]:
    """Every setting in the order of its declaration."""
    return tuple(
        Setting(
            key=key,
            variable=PREFIX + key.upper(),
            type=_type_text(field.annotation),
            default=_toml(field.get_default(call_default_factory=True)),
            doc=field.description or "",
        )
        for key, field in Settings.model_fields.items()
    )


def commented() -> str:
    """TOML text with every setting as a comment: what a new `carlake.toml` begins with."""
    lines: list[str] = []
    for setting in reference():
        lines += [f"# {setting.doc}", f"# {setting.key} = {setting.default or '...'}", ""]
    return "\n".join(lines)


def engine_name(text: str) -> str:
    """The nearest name that query engines take: `my-Lake` -> `my_lake`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.strip()) if "-" not in text and "_" not in text else text
    name = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    name = re.sub(r"^[^a-z]+", "", name)
    return name[:128] or "carlake"


@dataclass(frozen=True)
class _Given:
    """A value as it was given, and where: `file:line`, a variable or an argument."""

    value: Any
    where: str


def _explicit_layer(explicit: Mapping[str, Any]) -> dict[str, _Given]:
    for key in explicit:
        _known(key, f"argument {key!r}")
    return {key: _Given(value, f"argument {key!r}") for key, value in explicit.items() if value is not None}


def _environment_layer(environ: Mapping[str, str]) -> dict[str, _Given]:
    layer: dict[str, _Given] = {}
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES or not text:
            continue
        key, where = variable.removeprefix(PREFIX).lower(), f"environment variable {variable}"
        _known(key, where)
        layer[key] = _Given(_from_text(key, text, where), where)
    return layer


def _from_text(key: str, text: str, where: str) -> Any:
    annotation = Settings.model_fields[key].annotation
    if get_origin(annotation) is tuple and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(os.pathsep if key in _PATH_KEYS else ",") if part.strip()]
    if get_origin(annotation) in (tuple, dict):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{where} is not valid JSON: {error.msg} at character {error.pos}.") from None
    return text


def _file_layer(path: Path, *, whole: bool) -> dict[str, _Given]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"Settings file {path} cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"Settings file {path} is not valid TOML: {error}.") from None
    layer: dict[str, _Given] = {}
    for key, value in document.items():
        if key == "lake" and not whole:
            _only_the_lakes_own(path, text, value)
            continue
        where = f"{path}:{_line_of(text, key)}"
        _known(key, where)
        layer[key] = _Given(_relative_to(path.parent, key, value), where)
    return layer


def _only_the_lakes_own(path: Path, text: str, table: Any) -> None:
    for key in table if isinstance(table, dict) else ():
        if key in Settings.model_fields:
            raise SettingsError(
                f"{path}:{_line_of(text, key)}: setting {key!r} stands under [lake], where it has no effect.",
                "Move the line above [lake].",
            )


def _relative_to(folder: Path, key: str, value: Any) -> Any:
    if key not in _PATH_KEYS or not isinstance(value, list):
        return value
    return [folder.absolute() / Path(item).expanduser() if isinstance(item, str) else item for item in value]


def _line_of(text: str, key: str) -> int:
    """Line of a top-level key or table; 1 where it is written in a way that this search does not know."""
    written = re.compile(rf"\s*(\[\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    for number, line in enumerate(text.splitlines(), start=1):
        if written.match(line):
            return number
    return 1


def _known(key: str, where: str) -> None:
    if key not in Settings.model_fields:
        raise SettingsError(f"{where}: there is no setting {key!r}.", _sentence(_nearest(key, Settings.model_fields)))


def _nearest(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def _refusal(error: ValidationError, given: Mapping[str, _Given]) -> SettingsError:
    """What pydantic found, in our words: where the value came from, what it was (unless secret), what is allowed."""
    lines: list[str] = []
    for item in error.errors(include_url=False, include_context=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        where = f"{given[key].where}: " if key in given else ""
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}there is no setting {key!r}; {_nearest(key, Settings.model_fields)}")
            continue
        message = item["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if not key:
            sources = ", ".join(given[name].where for name in ("catalog", "catalog_uri") if name in given)
            lines.append(f"{sources}: {message}" if sources else message)
        elif key in ("catalog_uri", "catalog_properties"):
            lines.append(f"{where}setting {key!r}: {message}")
        else:
            lines.append(f"{where}setting {key!r} is {_short(item['input'])}: {message}")
    return SettingsError("\n".join(_sentence(line) for line in lines))


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Path) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:] if text[:1].isalpha() and "/" not in text.split()[0] else text
    return text if text.endswith((".", "?")) else text + "."


def _type_text(annotation: Any) -> str:
    if annotation is ByteSize:
        return "size"
    if annotation is str or annotation == SecretStr | None:
        return "text"
    if get_origin(annotation) is Literal:
        return " | ".join(f'"{value}"' for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "list of paths" if get_args(annotation)[0] is Path else "list of names"
    if get_origin(annotation) is dict:
        return "table of texts"
    return {int: "whole number", float: "number"}[annotation]


def _toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, ByteSize):
        unit, name = next((u, n) for u, n in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")) if value % u == 0)
        return f'"{value // unit} {name}"'
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[]"
    if isinstance(value, dict):
        return "{}"
    return f"{value:g}" if isinstance(value, float) else str(value)
