"""A sign of life on a terminal for work that lasts longer than a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import Any

_AFTER_SECONDS = 1.0


@contextmanager
def working(what: str, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """While the block runs, and from a second on, say `what` on standard error if that is a terminal.

    Gives a function that changes the text; it may be called from the start and as often as one likes.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.markup import escape

    text, lock, ended = what, Lock(), False
    status: Any = None

    def start() -> None:
        nonlocal status
        with lock:
            if not ended:
                status = Console(stderr=True, highlight=False).status(escape(text), spinner="dots")
                status.start()

    def change(new: str) -> None:
        nonlocal text
        text = new
        with lock:
            if status is not None:
                status.update(escape(new))

    timer = Timer(_AFTER_SECONDS, start)
    timer.daemon = True
    timer.start()
    try:
        yield change
    finally:
        timer.cancel()
        with lock:
            ended = True
            if status is not None:
                status.stop()
