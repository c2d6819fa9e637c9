"""A TCP server in front of another one that loses answers: what was asked takes effect, and the asker never hears."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_AT_ONCE = 1 << 16


class Cutting:
    """The server. `lose_after(sign)` arms it: a connection that asks with these bytes is cut before its answer.

    lost  how often it cut
    """

    def __init__(self, behind: int) -> None:
        self.behind, self.lost = behind, 0
        self._sign, self._times = b"", 0
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def lose_after(self, sign: bytes, times: int = 1) -> None:
        """Lose the answers to the next so many requests that hold these bytes."""
        self._sign, self._times = sign, times

    def serve(self) -> None:
        """Take connections until it is closed."""
        with suppress(OSError):
            while True:
                asker, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(asker,), daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _pass_on(self, asker: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.behind))
        except OSError:
            asker.close()
            return
        cut = threading.Event()

        def asks(data: bytes) -> bool:
            with self._lock:
                if self._times and self._sign in data:
                    self._times, self.lost = self._times - 1, self.lost + 1
                    cut.set()
            return True

        with asker, server:
            answers = threading.Thread(target=_pump, args=(server, asker, lambda _: not cut.is_set()), daemon=True)
            answers.start()
            _pump(asker, server, asks)
            answers.join()


def _pump(source: socket.socket, target: socket.socket, look: Callable[[bytes], bool]) -> None:
    """Pass data on until its end; where `look` says no, the data is dropped and both sides are cut."""
    with suppress(OSError):
        while data := source.recv(_AT_ONCE):
            if not look(data):
                break
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(behind: int) -> Iterator[Cutting]:
    """Such a server in front of a port of 127.0.0.1."""
    found = Cutting(behind)
    thread = threading.Thread(target=found.serve, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.close()
        thread.join()
