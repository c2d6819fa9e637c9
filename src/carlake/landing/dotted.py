"""Names with dots as paths: `metrics.engineTempCelsius` is a value inside `metrics`."""

from __future__ import annotations

from collections.abc import Sequence


def tree(names: Sequence[str]) -> dict[str, object]:
    """Names as nested paths with column numbers at the leaves; a name that is also a path of others stays whole."""
    found: dict[str, object] = {}
    taken = set(names)
    for column, name in enumerate(names):
        parts = name.split(".")
        prefixes = {".".join(parts[:length]) for length in range(1, len(parts))}
        if prefixes & taken or not all(parts):
            found[name] = column
            continue
        place = found
        for part in parts[:-1]:
            inner = place.setdefault(part, {})
            assert isinstance(inner, dict)
            place = inner
        place[parts[-1]] = column
    return found
