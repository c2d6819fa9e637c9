"""What a stream can show."""

from __future__ import annotations

import os
from typing import IO, Any


def colored(stream: IO[Any]) -> bool:
    """Whether a stream is a terminal that shall have colour (see no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
