"""A sign of life on a terminal for work that lasts longer than a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer

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
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    lock, ended = Lock(), False
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(escape(what), total=None)

    def start() -> None:
        with lock:
            if not ended:
                progress.start()

    def change(text: str) -> None:
        progress.update(task, description=escape(text))

    timer = Timer(_AFTER_SECONDS, start)
    timer.daemon = True
    timer.start()
    try:
        yield change
    finally:
        timer.cancel()
        with lock:
            ended = True
            progress.stop()
