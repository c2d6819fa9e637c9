"""Whether a file is being written, as the system tells it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal


def open_for_writing(path: str) -> bool | None:
    """Whether any process has a file open for writing; None where the system cannot tell."""
    set_lease = getattr(fcntl, "F_SETLEASE", None)
    if set_lease is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False  # gone, or not to be read: reading it says why
    try:
        # A writer that comes in the moment of the lease is announced by a signal; the usual one would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, set_lease, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, set_lease, fcntl.F_UNLCK)
        return False
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
