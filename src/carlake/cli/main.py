"""The entry point. It imports nothing of weight, so that an interrupt is told cleanly from the first moment."""

from __future__ import annotations

import sys
from typing import NoReturn

from carlake.cli import garbage, interrupts
from carlake.cli.exits import INTERRUPTED, INTERRUPTED_NOTE


def main() -> NoReturn:
    """Run the command line of this process and end it: 0 done, 1 failed or partly failed, 2 wrong usage."""
    garbage.seldom()
    try:
        interrupts.obey()
        from carlake.cli.app import call

        code = call(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    if interrupts.seen():
        code = INTERRUPTED
        sys.stderr.write(INTERRUPTED_NOTE)
    sys.exit(code)
