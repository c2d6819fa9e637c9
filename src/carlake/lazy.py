"""Names that a package gives without importing where they come from before they are used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def names(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A module `__getattr__` (PEP 562): `homes` maps each name to the module that has it."""

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get
