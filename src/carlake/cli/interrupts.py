"""Ctrl-C: it ends a command cleanly where Python can, and surely where it cannot."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

from carlake.cli.exits import INTERRUPTED, INTERRUPTED_NOTE

_GRACE_SECONDS = 2.0
_seen = threading.Event()


def obey() -> None:
    """From now on, an interrupt raises KeyboardInterrupt; if the process is still there 2 s later, it is ended.

    Python hears of an interrupt only between its own steps, and some long calls of DuckDB and Arrow have none, or make
    an error of their own of it. Ending then is safe: a lake is right whatever stops at any point.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # whoever started us wants no interrupts
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGINT, _interrupt)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_after, args=(reader,), name="carlake-interrupts", daemon=True).start()


def seen() -> bool:
    """Whether there was an interrupt, so that an error now may be its doing."""
    return _seen.is_set()


def _interrupt(number: int, frame: object) -> NoReturn:
    _seen.set()
    raise KeyboardInterrupt


def _end_after(reader: int) -> None:
    # The system's own handler writes the signal's number here, whatever Python is doing.
    while os.read(reader, 1)[0] != signal.SIGINT:
        pass
    _seen.set()
    threading.Event().wait(_GRACE_SECONDS)
    # A sign of progress may have hidden the cursor.
    sys.stderr.write(("\x1b[?25h" if sys.stderr.isatty() else "") + INTERRUPTED_NOTE)
    sys.stderr.flush()
    os._exit(INTERRUPTED)
