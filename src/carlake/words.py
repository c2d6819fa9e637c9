"""Numbers in sentences: with separators, and with the right form of what is counted."""

from __future__ import annotations


def number(value: int) -> str:
    """A count, with separators of thousands."""
    return f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """`1 file`, `2,000 files`."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def to_install(extra: str = "") -> str:
    """The command that installs carlake with an extra. It is in no package index, so it is installed from its checkout."""
    what = f"'.[{extra}]'" if extra else "."
    return f"in the checkout of carlake: pip install -c constraints.txt -e {what}"
