"""The settings that come with the code: `carlake_own/carlake.toml` beside the package `carlake`, put there by a deployment.

So functions and jobs, wherever their code is unpacked, have the same contracts and rules, and the hash that names a package
is of these, too. What the deployment sets itself, as variables and arguments, goes before it.
"""

from __future__ import annotations

from pathlib import Path

import carlake

FOLDER = "carlake_own"
FILE = "carlake.toml"


def file_beside_the_code() -> Path | None:
    """The settings file that was packaged with this code; None where none was."""
    found = Path(carlake.__file__).parents[1] / FOLDER / FILE
    return found if found.is_file() else None
