"""How often Python looks for garbage: seldom in a command that soon ends, as it does by itself in one that stays.

What PyIceberg and SQLAlchemy leave behind goes round in circles and holds on to Arrow's buffers: a watch that collects it
seldom grows by some hundred kilobytes a second under load (docs/benchmarks.md, "Steady").
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM, _USUAL = (100_000, 20, 20), gc.get_threshold()


def seldom() -> None:
    """For a command that imports much and lives shortly: to look as often as Python does costs a fifth of its start."""
    gc.set_threshold(*_SELDOM)


@contextmanager
def as_python_does() -> Iterator[None]:
    """For a service: look as often as Python does by itself, but no more at what was there when it began."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_USUAL)
    try:
        yield
    finally:
        # What is frozen when Python ends is not taken apart, and DuckDB complains of that on standard error.
        gc.unfreeze()
