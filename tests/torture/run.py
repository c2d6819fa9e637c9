"""`make torture`: everything that can be done to a lake, in numbers. Takes some eight hours; parts and shares of it less.

    make torture                                      all of it
    make torture ARGS="--part kills --share 0.1"      50 SIGKILLs in place of 500
    make torture ARGS="--page"                        and put the figures into docs/torture.md

The figures go to bench/out/torture.json. Exit code 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_OUT = ROOT / "bench" / "out" / "torture.json"
_PAGE = ROOT / "docs" / "torture.md"
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def main() -> int:
    """Do what was asked for, and tell."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from torture.parts import PARTS, Amount, timed

    asked = argparse.ArgumentParser(description="Everything that can be done to a lake, in numbers.")
    asked.add_argument("--part", action="append", choices=list(PARTS), help="only this one; may be given again")
    asked.add_argument("--share", type=float, default=1.0, help="how much of each part: 1 is all")
    asked.add_argument("--seed", type=int, default=0, help="other cases than those of 0")
    asked.add_argument("--jobs", type=int, default=2, help="processes that share the crash points [2]")
    asked.add_argument("--page", action="store_true", help="put the figures into docs/torture.md")
    given = asked.parse_args()
    memory = Path("/dev/shm")
    report: dict[str, Any] = json.loads(_OUT.read_text()) if _OUT.exists() and given.part else {}
    wrong = 0
    for name in given.part or PARTS:
        print(f"{name} ...", flush=True)
        with tempfile.TemporaryDirectory(
            prefix="carlake-torture-", dir=memory if os.access(memory, os.W_OK) else None
        ) as at:
            done, seconds = timed(PARTS[name], Path(at), Amount(given.share, given.seed, given.jobs))
        wrong += len(done.wrong)
        report[name] = {
            **asdict(done),
            "seconds": round(seconds, 1),
            "share": given.share,
            "seed": given.seed,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
        }
        print(f"    {told(done.figures)}; {len(done.wrong)} wrong; {seconds:.0f} s", flush=True)
        for each in done.wrong[:20]:
            print(f"    WRONG {each}", flush=True)
        _OUT.parent.mkdir(parents=True, exist_ok=True)
        _OUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if given.page:
        _PAGE.write_text(with_figures(_PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")
    return 1 if wrong else 0


def with_figures(page: str, report: dict[str, Any]) -> str:
    """The page with the report's figures in place of those that it has; of parts that were not done here, its own stay."""
    before, _, rest = page.partition(_BEGIN)
    had, _, after = rest.partition(_END)
    rows = {line.split("|")[1].strip(): line for line in had.splitlines()[2:]}
    for name, part in report.items():
        cells = (name, told(part["figures"]), len(part["wrong"]), f"{part['share']:g}", f"{part['seconds'] / 60:.1f}")
        rows[name] = f"| {' | '.join(map(str, cells))} |"
    head = ["| part | figures | wrong | share of all | minutes |", "|---|---|---|---|---|"]
    return before + _BEGIN + "\n".join([*head, *rows.values()]) + "\n" + _END + after


_ONE = {
    "boundaries": "boundary",
    "events": "event",
    "faults": "fault",
    "files and names lost or torn": "file or name lost or torn",
    "limits of file size, descriptors and memory": "limit of file size, descriptors or memory",
    "losses of power": "loss of power",
    "objects": "object",
    "objects beside another operation": "object beside another operation",
    "operations": "operation",
    "outcomes": "outcome",
    "permutations": "permutation",
    "runs of eight processes": "run of eight processes",
    "seconds with a locked catalog": "second with a locked catalog",
    "SIGKILLs": "SIGKILL",
    "small disks": "small disk",
    "steps at the most": "step at the most",
    "times that was done": "time that was done",
    "walks": "walk",
    "writes with a full disk": "write with a full disk",
}
"""The names of figures, of which there is one."""


def told(figures: dict[str, int | float]) -> str:
    """Figures in one line; those whose names begin alike (`named: json`) share that beginning."""
    groups: dict[str, list[str]] = {}
    for name, number in figures.items():
        group, _, kind = name.rpartition(": ")
        said = f"{kind} {number:,}" if group else f"{number:,} {_ONE.get(name, name) if number == 1 else name}"
        groups.setdefault(group, []).append(said)
    return "; ".join(f"{group}: {', '.join(said)}" if group else ", ".join(said) for group, said in groups.items())


if __name__ == "__main__":
    sys.exit(main())
