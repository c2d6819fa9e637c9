"""YAML documents whose every value knows its line, so that a mistake is reported where it was made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from carlake.errors import ContractError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KIND = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing"}


@dataclass(frozen=True)
class Key:
    """One key that a mapping may have: what it means and, as JSON Schema, what it holds."""

    doc: str
    schema: Mapping[str, Any]
    required: bool = False


def object_schema(keys: Mapping[str, Key]) -> dict[str, Any]:
    """JSON Schema of a mapping with exactly these keys."""
    return {
        "type": "object",
        "properties": {name: {"description": key.doc, **key.schema} for name, key in keys.items()},
        "required": [name for name, key in keys.items() if key.required],
        "additionalProperties": False,
    }


def schema_text(schema: Mapping[str, Any]) -> str:
    """A JSON Schema as the text of its published file."""
    return json.dumps(schema, indent=2) + "\n"


@dataclass(frozen=True)
class Node:
    """One value of a document: a scalar, a list or a mapping. Every reader raises ContractError with file and line."""

    file: str
    yaml: Any

    @property
    def line(self) -> int:
        """The line the value begins at, from 1."""
        return int(self.yaml.start_mark.line) + 1

    @property
    def kind(self) -> str:
        """What the value is, in words."""
        if isinstance(self.yaml, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.yaml, yaml.SequenceNode):
            return "a list"
        return _KIND.get(str(self.yaml.tag).rpartition(":")[2], "text")

    def mistake(self, what: str, allowed: str) -> ContractError:
        """The error for this value: `what` is wrong with it, `allowed` says what may stand there."""
        return ContractError(f"{self.file}, line {self.line}: {what}", allowed)

    def items(self) -> dict[str, tuple[Node, Node]]:
        """A mapping as name -> (key, value); a name given twice is a mistake."""
        if not isinstance(self.yaml, yaml.MappingNode):
            raise self.mistake(f"this is {self.kind}, not a mapping", "Write `key: value` lines here.")
        items: dict[str, tuple[Node, Node]] = {}
        for key_node, value_node in self.yaml.value:
            key = Node(self.file, key_node)
            name = key.scalar()
            if name in items:
                raise key.mistake(
                    f"`{name}` is given twice", f"Keep one of the two: the first is in line {items[name][0].line}."
                )
            items[name] = (key, Node(self.file, value_node))
        return items

    def mapping(self, keys: Mapping[str, Key]) -> dict[str, Node]:
        """A mapping that has no other keys than these, and all that are required."""
        items = self.items()
        for name, (key, _) in items.items():
            if name not in keys:
                raise key.mistake(
                    f"`{name}` is not a key of this place{nearest(name, keys)}", f"Allowed: {listed(keys)}."
                )
        for name, declared in keys.items():
            if declared.required and name not in items:
                raise self.mistake(f"`{name}` is missing", f"Add `{name}:`, {declared.doc}.")
        return {name: value for name, (_, value) in items.items()}

    def list(self) -> list[Node]:
        """A list's elements."""
        if not isinstance(self.yaml, yaml.SequenceNode):
            raise self.mistake(f"this is {self.kind}, not a list", "Write a list here, as [a, b] or as lines of `- a`.")
        return [Node(self.file, element) for element in self.yaml.value]

    def is_list(self) -> bool:
        return isinstance(self.yaml, yaml.SequenceNode)

    def is_mapping(self) -> bool:
        return isinstance(self.yaml, yaml.MappingNode)

    def scalar(self) -> str:
        """A scalar's text, of whatever type."""
        if not isinstance(self.yaml, yaml.ScalarNode):
            raise self.mistake(f"this is {self.kind}, not a plain value", "Write one value here.")
        return str(self.yaml.value)

    def text(self) -> str:
        """Text that is not empty; what YAML takes for something else must be quoted."""
        value = self.scalar()
        if self.kind != "text" or not value.strip():
            found = "empty" if self.kind == "text" else f"{self.kind}: {value}"
            raise self.mistake(f"text is wanted here, this is {found}", "Write text; quote what YAML reads otherwise.")
        return value

    def integer(self, minimum: int) -> int:
        value = self.scalar()
        if self.kind != "a whole number" or not value.isdecimal() or int(value) < minimum:
            raise self.mistake(
                f"`{value}` is not a whole number of {minimum} or more", f"Write {minimum}, {minimum + 1}, ..."
            )
        return int(value)

    def number(self) -> float:
        value = self.scalar()
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if self.kind not in ("a whole number", "a number") or not abs(number) < float("inf"):
            raise self.mistake(f"`{value}` is not a number", "Write a number, as 100 or 0.5.")
        return number

    def boolean(self) -> bool:
        value = self.scalar()
        if self.kind != "true or false":
            raise self.mistake(f"`{value}` is neither true nor false", "Write true or false.")
        return value.lower() in ("true", "yes", "on")

    def choice(self, options: tuple[str, ...]) -> str:
        value = self.scalar()
        if value not in options:
            raise self.mistake(
                f"`{value}` is not allowed here{nearest(value, options)}", f"Allowed: {listed(options)}."
            )
        return value


def read(path: Path) -> Node:
    """The document in a file. Raises ContractError if it cannot be read, is not UTF-8, not YAML, or empty."""
    try:
        text = _text(path)
    except OSError as error:
        raise ContractError(f"{path} cannot be read: {error.strerror}", "Check the path in the settings.") from error
    except UnicodeDecodeError as error:
        raise ContractError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}", "Save it as UTF-8."
        ) from error
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ContractError(
            f"{path}{line}: not YAML: {error.problem or error.context}", "Check indentation, quotes and brackets there."
        ) from error
    except yaml.YAMLError as error:
        raise ContractError(f"{path}: not YAML: {error}", "Save it as plain YAML text.") from error
    if node is None:
        raise ContractError(f"{path}, line 1: the file is empty", "Write the declaration in it, or remove it.")
    return Node(str(path), node)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except NotADirectoryError:
        # carlake itself may be in an archive, as it is where a job is submitted with its wheel.
        loader: Any = __spec__.loader if __spec__ else None
        if not hasattr(loader, "get_data"):
            raise
        content: bytes = loader.get_data(str(path))
        return content.decode("utf-8")


def files(paths: Sequence[str | Path]) -> list[Path]:
    """The YAML files that paths name, in order; a folder stands for its *.yaml and *.yml, by name."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml"))
        elif path.exists():
            found.append(path)
        else:
            raise ContractError(f"{path} does not exist.", "Check the path in the settings.")
    return found


def nearest(name: str, options: Iterable[str]) -> str:
    """`: did you mean ...?` for the nearest option, empty if none is near."""
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    if not close:
        close = [option for option in options if option.lower() == name.lower()]
    return f": did you mean `{close[0]}`?" if close else ""


def listed(options: Iterable[str]) -> str:
    """Names as a sentence has them."""
    return ", ".join(options)
