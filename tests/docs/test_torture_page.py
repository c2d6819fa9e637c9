"""The page of what was done to the lake: figures of one part leave those of the others alone."""

from __future__ import annotations

from pathlib import Path

from torture.run import with_figures

PAGE = Path(__file__).parents[2] / "docs" / "torture.md"


def test_new_figures_take_the_place_of_the_same_part_alone() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_figures(page, {}) == page
    new = {"figures": {"walks": 1, "named: json": 1234}, "wrong": ["a"], "share": 0.5, "seconds": 90}
    told = "| 1 walk; named: json 1,234 | 1 | 0.5 | 1.5 |"
    changed = with_figures(page, {"model": new, "a part of its own": new})
    old, now = page.splitlines(), changed.splitlines()
    gone, come = [line for line in old if line not in now], [line for line in now if line not in old]
    assert [line.split(" | ")[0] for line in gone] == ["| model"]
    assert come == [f"| model {told}", f"| a part of its own {told}"]
