"""Make docs/runbook.md from the list of checks: `make docs`. A test says when it is stale, and others run its commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from carlake.upkeep.checks.every import CHECKS
from carlake.upkeep.checks.finding import Check

PAGE = Path(__file__).with_name("runbook.md")
NOTE = "<!-- Made from the checks by `make docs`; change the checks, not this page. -->\n"

_GROUPS = {
    "lake": "The lake's folder",
    "catalog": "The catalog",
    "tables": "The tables",
    "landing": "Landing, the archive, and what runs leave",
    "machine": "The machine",
}

_BEGINNING = """# Runbook

Something is wrong. Ask first what it is; this changes nothing, and works on a lake that no other command opens:

```sh
carlake doctor
```

It names each trouble by its file or table, says what it means, and which of the commands below mends it. `--deep` reads every
data file too. Then have it mended:

```sh
carlake recover --dry-run
carlake recover --yes
```

The first says every step and its reason. The second takes them, can be stopped and called again at any moment, checks every table
at the end, and names what could not be brought back. It deletes no file that anything could still be read from.

For monitoring: `carlake doctor --json` ends with 0 when all is well and with 1 when something is wrong; `--fail-on error` lets
warnings pass.

| severity | meaning |
| --- | --- |
| error | rows are missing or wrong, or the lake cannot work, until somebody mends it |
| warning | every row is right, and something waits for a person |
| notice | nobody needs to do anything |
"""


def page() -> str:
    """The page's text."""
    parts = [_BEGINNING.rstrip()]
    for group, title in _GROUPS.items():
        parts.append(f"## {title}")
        for check in CHECKS:
            if check.group == group:
                parts += _check(check)
    return f"{NOTE}\n" + "\n\n".join(parts) + "\n"


def _check(check: Check) -> Iterator[str]:
    deep = ", with `--deep` alone" if check.deep else ""
    yield f"### {check.name}"
    yield f"*{check.severity.capitalize()}{deep}.* **You see:** {check.symptom}"
    yield f"**It means:** {check.meaning}"
    yield f"**Found by:** {check.how}"
    yield f"**What mends it:** {check.mends}"
    if check.commands:
        yield "```sh\n" + "\n".join(check.commands) + "\n```"


def commands(text: str) -> list[str]:
    """Every command on a page, once."""
    found: dict[str, None] = {}
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = line == "```sh"
        elif inside and line:
            found[line] = None
    return list(found)


def main() -> int:
    """Write the page; with `--check` only say whether it is stale, and exit 1 if so."""
    stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()
    if stale and "--check" in sys.argv:
        print("stale: runbook.md; run `make docs`")
        return 1
    if stale:
        PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
