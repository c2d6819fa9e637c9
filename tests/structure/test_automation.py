"""The ways in: make's goals, and what continuous integration runs."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from structure.layers import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**environment, **variables},
    )


def test_make_alone_shows_the_goals() -> None:
    shown = make()
    assert shown.returncode == 0
    for goal in ("setup", "demo", "test", "bench", "bench-peers", "clean"):
        assert re.search(rf"^  make {goal} +\w", shown.stdout, flags=re.MULTILINE), goal


def test_an_environment_is_made_only_where_something_changed() -> None:
    plan = make("-n", "setup", "-W", "constraints.txt")
    assert "-c constraints.txt -e '.[dev]'" in plan.stdout
    assert "compileall" in plan.stdout


def test_an_old_python_is_refused_by_name(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what the version check of any older Python answers
    old.chmod(0o755)
    refused = make("setup", "-W", "constraints.txt", f"PYTHON={old}")
    assert refused.returncode != 0
    assert f"needs Python 3.11 or newer, with its venv module, and found none in {old}" in refused.stderr
    assert "make setup PYTHON=/path/to/python3" in refused.stderr


def test_pytest_says_the_last_word_of_make_test() -> None:
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    assert recipe is not None
    assert "-m pytest" in recipe[1].strip().splitlines()[-1]


def test_continuous_integration_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "exec make test"


def test_the_workflow_tests_the_oldest_and_newest_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    versions = [text.rsplit(" ", 1)[1] for text in classifiers if re.search(r":: 3\.\d+$", text)]
    assert job["strategy"]["matrix"]["python"] == [versions[0], versions[-1]]
    assert any(step.get("run", "").startswith("make test") for step in job["steps"])
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert [name for name in uses if not re.fullmatch(r"actions/[a-z-]+@v\d+", name)] == []
