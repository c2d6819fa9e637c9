"""The runbook is made from the checks as they are. Its commands are run by tests/upkeep/test_doctor.py."""

from __future__ import annotations

import re

from carlake.upkeep.checks.every import CHECKS
from docs import make_runbook, run_pages


def test_the_runbook_is_made_from_the_checks_as_they_are() -> None:
    text = make_runbook.PAGE.read_text(encoding="utf-8")
    assert text == make_runbook.page(), "`make docs` makes it again"
    for check in CHECKS:
        assert f"### {check.name}\n" in text
        assert set(check.commands) <= set(make_runbook.commands(text))


def test_commands_are_those_in_blocks_of_a_shell() -> None:
    page = "text\n```sh\ncarlake a\ncarlake b\n```\n```text\ncarlake c\n```\n```sh\ncarlake a\n```\n"
    assert make_runbook.commands(page) == ["carlake a", "carlake b"]


def test_every_alarm_of_the_deployment_is_in_the_runbook() -> None:
    text = make_runbook.page().split("## On AWS")[1]
    source = (run_pages.ROOT / "deploy/aws/carlake_aws/operations.py").read_text(encoding="utf-8")
    alarms = re.findall(r'self\._alarm\(\s*f?"([a-z-]+)', source)
    assert len(alarms) >= 8 and [name for name in alarms if f"`{name}" not in text] == []
