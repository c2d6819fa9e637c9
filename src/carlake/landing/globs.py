"""A glob over the parts of a path: `*`, `?`, `[...]` within one name, `**` for any number of folders."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from fnmatch import translate

States = frozenset[int]
"""How far into the pattern the names so far may have come: indices of its parts."""


class Glob:
    """A pattern that is stepped through name by name, so that a walk enters only folders that can match.

    What the whole pattern matches is taken with all below it; the pattern of no parts takes everything.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = tuple(part for part in parts if part)
        self.start: States = self._with_empty_folders({0})

    def step(self, states: States, name: str) -> States:
        """Where one more name leads; empty where nothing below it can match."""
        end = len(self._parts)
        if end in states:
            return frozenset((end,))
        after = set()
        for at in states:
            if self._parts[at] == "**":
                after.add(at)
            elif _matcher(self._parts[at])(name):
                after.add(at + 1)
        return self._with_empty_folders(after)

    def accepts(self, states: States) -> bool:
        """Whether the names so far match."""
        return len(self._parts) in states

    def spells_out(self, states: States, name: str, rule: Callable[[str], bool]) -> bool:
        """Whether a part that is itself under the rule, such as `_*` for names that begin with `_`, asks for the name."""
        return any(
            at < len(self._parts) and rule(self._parts[at]) and _matcher(self._parts[at])(name) is not None
            for at in states
        )

    def _with_empty_folders(self, states: set[int]) -> States:
        for at in sorted(states):
            while at < len(self._parts) and self._parts[at] == "**":
                at += 1
                states.add(at)
        return frozenset(states)


def is_glob(part: str) -> bool:
    """Whether a name is a pattern."""
    return any(magic in part for magic in "*?[")


@functools.lru_cache(maxsize=256)
def _matcher(part: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(translate(part)).match
