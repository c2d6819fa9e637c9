"""Permission tests that mean something for root too."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Within, this process has no more rights than any user: file permissions hold even if the tests run as root."""
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        yield
        return
    os.setegid(_NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def open_to_all(folder: Path) -> Path:
    """Let every user reach a folder below pytest's own, which only its owner may enter."""
    base = Path(tempfile.gettempdir()).resolve()
    for above in folder.resolve().parents:
        if above != base and above.is_relative_to(base) and above.stat().st_uid == os.geteuid():
            above.chmod(above.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)
    return folder
