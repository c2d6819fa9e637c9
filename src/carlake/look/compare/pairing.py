"""Which column of one side is which of the other: by mapping, by name, by its spelling, by what the old lake called it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from carlake.engines.duckdb.compare import Pair
from carlake.errors import NotFoundError
from carlake.look.names import did_you_mean

_MOST_NAMED = 12  # a person reads no more names in an error

_SPELLING = re.compile(r"[_.\s-]")


@dataclass(frozen=True)
class Pairing:
    """The columns of both sides, and those that one side has alone."""

    pairs: Mapping[str, Pair]
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]

    def pick(self, names: Sequence[str], what: str) -> list[str]:
        """The columns that a person names, as they are called here. Raises NotFoundError for one that is not in both."""
        by_there = {pair.there.lower(): pair.here for pair in self.pairs.values()}
        by_here = {name.lower(): name for name in self.pairs}
        picked = []
        for name in names:
            found = by_here.get(name.lower()) or by_there.get(name.lower())
            if found is None:
                raise self._not_in_both(name, what)
            picked.append(found)
        return list(dict.fromkeys(picked))

    def _not_in_both(self, name: str, what: str) -> NotFoundError:
        lower = name.lower()
        for side, other, names in (("here", "there", self.only_here), ("there", "here", self.only_there)):
            if lower in map(str.lower, names):
                where = _few(self.only_there if side == "here" else self.only_here) or "none is left"
                return NotFoundError(
                    f"{what}: column {name} is only {side}, and not {other}.",
                    f"If it has another name {other}, say so: --mapping THERE=HERE. Without a partner {other}: {where}.",
                )
        known = [*self.pairs, *self.only_here, *self.only_there]
        hint = did_you_mean(lower, known) or f"Columns of both: {_few(self.pairs) or 'none'}."
        return NotFoundError(f"{what}: there is no column {name!r}.", hint)


def paired(
    here: Sequence[str], there: Sequence[str], mapping: Mapping[str, str], old: Mapping[str, Sequence[str]]
) -> Pairing:
    """Pair the columns of two sides.

    mapping  name there -> name here, as a person gives it; it goes before all else
    old      lower-case name that the old lake had -> the names here that it may mean
    A name that could mean two columns pairs with none. Raises NotFoundError for a mapping of what is not there.
    """
    pairs: dict[str, Pair] = {}
    left_here, left_there = dict.fromkeys(here), dict.fromkeys(there)

    def pair(one: str, other: str) -> None:
        pairs[one] = Pair(one, other)
        left_here.pop(one)
        left_there.pop(other)

    for other, one in mapping.items():
        pair(_known(one, left_here, "here"), _known(other, left_there, "there"))
    for spell in (str, str.lower, _spelling):
        names_there = _by(spell, left_there)
        for spelt, ones in _by(spell, left_here).items():
            others = names_there.get(spelt, [])
            if len(ones) == len(others) == 1:
                pair(ones[0], others[0])
    meant: dict[str, list[str]] = {}
    for other in left_there:
        candidates = [one for one in old.get(other.lower(), ()) if one in left_here]
        if len(candidates) == 1:
            meant.setdefault(candidates[0], []).append(other)
    for one, others in meant.items():
        if len(others) == 1:
            pair(one, others[0])
    return Pairing({name: pairs[name] for name in here if name in pairs}, tuple(left_here), tuple(left_there))


def _few(names: Iterable[str]) -> str:
    some = list(names)
    if len(some) <= _MOST_NAMED:
        return ", ".join(some)
    return f"{', '.join(some[: _MOST_NAMED - 2])} and {len(some) - _MOST_NAMED + 2} more"


def _spelling(name: str) -> str:
    """`currentMileageKm` and `current_mileage_km` alike."""
    return _SPELLING.sub("", name).lower()


def _by(spell: object, names: Mapping[str, None]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(spell(name), []).append(name)  # type: ignore[operator]
    return found


def _known(name: str, left: Mapping[str, None], side: str) -> str:
    for known in left:
        if known == name:
            return known
    near = [known for known in left if known.lower() == name.lower()]
    if len(near) == 1:
        return near[0]
    hint = did_you_mean(name, left) or f"Columns that are left {side}: {_few(left)}."
    raise NotFoundError(f"--mapping: there is no column {name!r} {side}, or it is mapped already.", hint)
