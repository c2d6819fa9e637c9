"""Hints that something may have arrived. A hint is only a reason to look: a listing says what there is.

The file system's own events (inotify, FSEvents) come within milliseconds, but they get lost: in a folder made a moment ago,
in a burst, on network file systems. So a lost, doubled or early hint must change nothing but the time of the next look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from carlake.landing.listing import in_progress

# A step of 10 ms makes a hint about 15 ms old; half a second later, a writer that goes on and on is heard all the same.
_STEP_MILLISECONDS, _DEBOUNCE_MILLISECONDS = 10, 200
_ANSWER_MILLISECONDS = 1000


class Hints:
    """Waits for a hint, a call of `wake`, or the time to be over. Also without any folder: then only `wake` hints.

    folders  local folders whose events are hints, with all below them
    lost     called with the cause when events can be had no more; listing goes on
    """

    def __init__(self, folders: Sequence[Path] = (), lost: Callable[[str], None] = lambda why: None) -> None:
        self._folders = tuple(folders)
        self._lost = lost
        self._hinted = threading.Event()
        self._woken = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen."""
        if self._folders:
            self._thread = threading.Thread(target=self._listen, name="carlake-hints", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def restart(self) -> None:
        """Listen to the folders that bear the names now."""
        self.close()
        self._ended = threading.Event()
        self.start()

    def wait(self, seconds: float) -> bool:
        """Wait for a hint, for as long at most; whether there was one. It is forgotten by that."""
        self._woken.wait(max(seconds, 0))
        self._woken.clear()
        hinted = self._hinted.is_set()
        self._hinted.clear()
        return hinted

    def hint(self) -> None:
        """Something may have arrived."""
        self._hinted.set()
        self._woken.set()

    def wake(self) -> None:
        """End the wait without a hint."""
        self._woken.set()

    def _listen(self) -> None:
        from watchfiles import watch

        ended = self._ended
        try:
            for _ in watch(
                *self._folders,
                watch_filter=self._of_data,
                step=_STEP_MILLISECONDS,
                debounce=_DEBOUNCE_MILLISECONDS,
                rust_timeout=_ANSWER_MILLISECONDS,
                stop_event=ended,
                raise_interrupt=False,
                recursive=True,
            ):
                self.hint()
        except Exception as error:  # noqa: BLE001  (no events, for whatever reason: the listing finds everything)
            if not ended.is_set():
                self._lost(f"{type(error).__name__}: {error}")

    def _of_data(self, change: Any, path: str) -> bool:
        """Whether an event may be of an object that arrived: none that went, and no name that is passed over."""
        if change == 3:  # deleted
            return False
        for folder in self._folders:
            below = path.removeprefix(f"{folder}/")
            if below != path:
                # A folder's marker is passed over as data, and says that data is whole.
                *folders, name = below.split("/")
                return not any(map(in_progress, folders)) and (not in_progress(name) or name == "_SUCCESS")
        return True
