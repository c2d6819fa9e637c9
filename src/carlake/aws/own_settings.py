"""What comes with the code, put beside the package `carlake` by a deployment: its settings file, and the package's own hash.

So functions and jobs, wherever their code is unpacked, have the same contracts and rules, and the hash that names a package
is of these, too. What the deployment sets itself, as variables and arguments, goes before it.
"""

from __future__ import annotations

from pathlib import Path

import carlake

FOLDER = "carlake_own"
FILE = "carlake.toml"
CODE = "carlake_code.txt"
"""The file with the hash that is in the package's name; it is not part of what is hashed."""


def file_beside_the_code() -> Path | None:
    """The settings file that was packaged with this code; None where none was."""
    found = Path(carlake.__file__).parents[1] / FOLDER / FILE
    return found if found.is_file() else None


def code_beside_the_code() -> str | None:
    """The hash of the package that this code came in; None where it came in none.

    A function's variables and its code are changed by two calls: only what lies in the package says surely which it is.
    """
    found = Path(carlake.__file__).parents[1] / CODE
    return found.read_text(encoding="ascii").strip() if found.is_file() else None
