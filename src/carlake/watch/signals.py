"""SIGINT and SIGTERM while a lake is watched: the first ends it cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Long enough to finish or break off a batch; what takes longer (one step over all of history) is left as it is.
GRACE_SECONDS = 20.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def obeyed(stop: Callable[[str], None], grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """While the block runs, the first SIGINT or SIGTERM calls `stop` with the signal's name, and a second ends the process
    at once with 128 and its number. A process that is still there after the grace is ended with 0.

    Ending at once is safe: a lake is right whatever stops at any point. A signal that was ignored before stays so. For
    the main thread alone.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Python's own handlers run between two steps of the interpreter, and a long call of the engine has none: the bytes
    # that the system writes to the pipe are read by a thread, whatever the main thread is doing.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _nothing)
    thread = threading.Thread(target=_listen, args=(reader, stop, grace_seconds), name="carlake-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writer, b"\0")  # ends the thread
        thread.join(timeout=5)
        os.close(writer)
        os.close(reader)


def _nothing(number: int, frame: FrameType | None) -> None:
    """The thread does it all."""


def _listen(reader: int, stop: Callable[[str], None], grace_seconds: float) -> None:
    timer: threading.Timer | None = None
    while (number := os.read(reader, 1)[0]) != 0:
        if number not in _SIGNALS:
            continue
        if timer is not None:
            _end(128 + number, "Stopped at once. What was committed stays; the rest waits in landing.\n")
        stop(signal.Signals(number).name)
        timer = threading.Timer(grace_seconds, _end, (0, "Stopped in the middle of a step; the next watch goes on.\n"))
        timer.daemon = True
        timer.start()
    if timer is not None:
        timer.cancel()


def _end(code: int, note: str) -> None:
    try:
        os.write(sys.stderr.fileno(), note.encode())
    finally:
        os._exit(code)
