"""The page for those who come from crawlers and jobs: it leaves nothing out, and each test that it names is there."""

from __future__ import annotations

import ast
import re

import pytest

from carlake.cli.app import app
from docs import run_pages

PAGE = (run_pages.ROOT / "docs/from-glue.md").read_text(encoding="utf-8")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def section(title: str) -> dict[str, str]:
    """The rows of a section's table by the bold words that each begins with."""
    body = re.split(rf"^## {title}$", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    rows = [line for line in body.splitlines() if line.startswith("| **")]
    return {line[4:].split("**")[0]: line for line in rows}


@pytest.mark.parametrize(
    ("title", "subjects"),
    [
        ("The parts", ["Crawler", "Bookmark", "Workflow", "Trigger", "Job run", "Athena"]),
        (
            "The recovery manual, step by step",
            [
                "status of the run",
                "crawler",
                "bookmarks",
                "permissions",
                "workflow",
                "Monitor",
                "tables",
                "test queries",
            ],
        ),
        (
            "The failures",
            [
                "Hyphens in database names",
                "Static Spark settings",
                "Empty warehouse path",
                "Missing catalog prefix",
                "Gold inherited silver's columns",
                "3 columns against 15",
                "101 rows for 11 cars",
                "Old files decided the schema",
                "Stuck bookmarks",
                "Concurrent runs exceeded",
                "Cached script",
                "Orphan code in a script",
            ],
        ),
    ],
)
def test_nothing_is_left_out_and_each_row_names_a_test(title: str, subjects: list[str]) -> None:
    rows = section(title)
    for subject in subjects:
        assert [name for name in rows if subject in name], subject
    assert [name for name, line in rows.items() if not _TEST.search(line)] == []


def test_the_steps_of_the_manual_are_the_eight_in_their_order() -> None:
    assert [name.split(".")[0] for name in section("The recovery manual, step by step")] == list("12345678")
    assert "**Cleaning the environment**" in PAGE


def test_every_test_that_is_named_is_there() -> None:
    named = sorted(set(_TEST.findall(PAGE)))
    missing = []
    for file, function in named:
        path = run_pages.ROOT / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
        if function not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{file}::{function}")
    assert missing == [] and len(named) > 25


def test_every_command_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?:^|`)carlake (\w+)", PAGE, flags=re.MULTILINE))
    commands = {str(command.name) for command in app.registered_commands} | {
        str(group.name) for group in app.registered_groups
    }
    assert named <= commands and {"doctor", "recover", "rollback", "rebuild", "maintain", "watch"} <= named
