"""Settings: where each key's value comes from, and errors that name the place.

Plain pydantic and not pydantic-settings: the layers are read here anyway, so that an error can name file and line, and
pydantic-settings would add about 0.17 s to the start of every command.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ByteSize, SecretStr, ValidationError

from carlake.errors import SettingsError
from carlake.settings_keys import CATALOGS, KEY_FILES, PATH_KEYS, SECRET_KEYS, Keys, engine_name, nearest
from carlake.words import sentence

__all__ = ["CATALOGS", "PREFIX", "Setting", "Settings", "SettingsText", "commented", "engine_name", "reference"]

PREFIX = "CARLAKE_"
_LAKES_OWN = ("format", "id", "location", "made_by")  # what `carlake.lake` writes under [lake]
_OTHER_VARIABLES = ("CARLAKE_LAKE", "CARLAKE_SETTINGS")  # options of the command line, not settings


class Settings(Keys):
    """All settings of a lake. `Settings(...)` checks what it is given; `Settings.load(...)` reads every layer.

    Frozen. Raises `SettingsError` for an unknown key (naming the nearest), a wrong type or a value out of range.
    Sizes are bytes, or text such as "16 MiB". Secrets are never in its text or in an error.
    """

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
        lake: Path | SettingsText | None = None,
        file: Path | None = None,
        only: Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
        **explicit: Any,
    ) -> Settings:
        """Read all layers; the first that has a key wins: `explicit`, `texts`, `environ`, `file`, `lake`, the defaults.

        lake      the lake's `carlake.toml`; its `[lake]` table is the lake's own and holds no settings
        only      read these keys alone, the others keep their defaults: before the lake's own file can be read
        file      a settings file (TOML) that the user names
        environ   variables `CARLAKE_<KEY>`; the process's own if None. Lists as JSON, or separated by `:` (paths) or
                  `,` (names); an empty value counts as not set
        texts     keys with values as variables have them, from arguments of a job
        explicit  keys given by the caller; None counts as not given

        Raises `SettingsError` naming the file and line, variable or argument at fault.
        """
        layers = [
            _explicit_layer(explicit),
            _texts_layer(texts or {}),
            _environment_layer(os.environ if environ is None else environ),
            *([_file_layer(file, whole=True)] if file else []),
            *([_file_layer(lake, whole=False)] if lake else []),
        ]
        given: dict[str, _Given] = {}
        for layer in layers:
            for key, item in layer.items():
                if only is None or key in only:
                    given.setdefault(key, item)
        return cls(**given)


@dataclass(frozen=True)
class SettingsText:
    """A settings file that lies in an object store, read: where, and its content."""

    location: str
    content: bytes

    def __str__(self) -> str:
        return self.location

    def read_bytes(self) -> bytes:
        """The content."""
        return self.content


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


@dataclass(frozen=True)
class _Given:
    """A value as it was given, and where: `file:line`, a variable or an argument."""

    value: Any
    where: str


def _explicit_layer(explicit: Mapping[str, Any]) -> dict[str, _Given]:
    for key in explicit:
        _known(key, f"argument {key!r}")
    return {key: _Given(value, f"argument {key!r}") for key, value in explicit.items() if value is not None}


def _texts_layer(texts: Mapping[str, str]) -> dict[str, _Given]:
    layer: dict[str, _Given] = {}
    for key, text in texts.items():
        where = f"argument --{key}"
        _known(key, where)
        layer[key] = _Given(_from_text(key, text, where), where)
    return layer


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
        return [part.strip() for part in text.split(os.pathsep if key in PATH_KEYS else ",") if part.strip()]
    if get_origin(annotation) in (tuple, dict):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{where} is not valid JSON: {error.msg} at character {error.pos}.") from None
    return text


def _file_layer(path: Path | SettingsText, *, whole: bool) -> dict[str, _Given]:
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
        folder = path.parent.absolute() if isinstance(path, Path) else None
        layer[key] = _Given(_relative_to(folder, key, value, where), where)
    return layer


def _only_the_lakes_own(path: Path | SettingsText, text: str, table: Any) -> None:
    for key in table if isinstance(table, dict) else ():
        if key in Settings.model_fields:
            raise SettingsError(
                f"{path}:{_line_of(text, key)}: setting {key!r} stands under [lake], where it has no effect.",
                "Move the line above [lake].",
            )
        if key not in _LAKES_OWN:
            raise SettingsError(
                f"{path}:{_line_of(text, key)}: {key!r} stands under [lake], which is the lake's own, and is no setting.",
                sentence(nearest(key, Settings.model_fields)) + " A setting belongs above [lake]: move the line there.",
            )


def _relative_to(folder: Path | None, key: str, value: Any, where: str) -> Any:
    """A path as seen from the file that names it; that file lies in an object store where `folder` is None."""

    def seen(item: str) -> Path:
        path = Path(item).expanduser()
        if folder is None and not path.is_absolute():
            raise SettingsError(
                f"{where}: setting {key!r} names {item!r}, and this file lies in an object store.",
                "Give the whole path of a file of this machine, or set it in a settings file of this machine.",
            )
        return (folder or Path("/")) / path

    if key in KEY_FILES and isinstance(value, str):
        return seen(value)
    if key not in PATH_KEYS or not isinstance(value, list):
        return value
    return [seen(item) if isinstance(item, str) else item for item in value]


def _line_of(text: str, key: str) -> int:
    """Line of a top-level key or table; 1 where it is written in a way that this search does not know."""
    written = re.compile(rf"\s*(\[\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    for number, line in enumerate(text.splitlines(), start=1):
        if written.match(line):
            return number
    return 1


def _known(key: str, where: str) -> None:
    if key not in Settings.model_fields:
        raise SettingsError(f"{where}: there is no setting {key!r}.", sentence(nearest(key, Settings.model_fields)))


def _refusal(error: ValidationError, given: Mapping[str, _Given]) -> SettingsError:
    """What pydantic found, in our words: where the value came from, what it was (unless secret), what is allowed."""
    lines: list[str] = []
    for item in error.errors(include_url=False, include_context=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        where = f"{given[key].where}: " if key in given else ""
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}there is no setting {key!r}; {nearest(key, Settings.model_fields)}")
            continue
        message = item["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if not key:
            sources = ", ".join(given[name].where for name in ("catalog", "catalog_uri") if name in given)
            lines.append(f"{sources}: {message}" if sources else message)
        elif key in SECRET_KEYS:
            lines.append(f"{where}setting {key!r}: {message}")
        else:
            lines.append(f"{where}setting {key!r} is {_short(item['input'])}: {message}")
    return SettingsError("\n".join(sentence(line) for line in lines))


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Path) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _type_text(annotation: Any) -> str:
    if annotation is ByteSize:
        return "size"
    if annotation == Path | None:
        return "path"
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
