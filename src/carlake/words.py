"""Pieces of sentences: numbers with separators, what is counted in its right form, commands that messages name."""

from __future__ import annotations


def number(value: int) -> str:
    """A count, with separators of thousands."""
    return f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """`1 file`, `2,000 files`."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A sentence of what a library or another part says: with a capital, unless it begins with a path, and an end."""
    # A first word with a mark inside is a path, with its line: s.toml:1:
    text = text[:1].upper() + text[1:] if text.split(" ")[0].rstrip(":,").isalpha() else text
    return text if text.endswith((".", "?")) else f"{text}."


def to_install(extra: str = "") -> str:
    """The command that installs carlake with an extra. It is in no package index, so it is installed from its checkout."""
    what = f"'.[{extra}]'" if extra else "."
    return f"in the checkout of carlake: pip install -c constraints.txt -e {what}"
