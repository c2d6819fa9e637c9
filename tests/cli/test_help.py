"""Help: all commands on one screen, each with its own page; nothing heavy is imported for it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

GROUPS = {
    "Start": ["demo", "init", "simulate"],
    "Flow": ["run", "watch", "stop"],
    "Look": ["status", "tables", "runs", "query", "trace", "verify", "compare"],
    "Records": ["contracts", "quarantine"],
    "Mend": ["doctor", "recover", "rollback", "resume", "rebuild", "maintain", "forget"],
    "Beyond": ["connect", "deploy"],
}
COMMANDS = [
    *(command for commands in GROUPS.values() for command in commands),
    *(f"contracts {name}" for name in ("show", "check", "drift", "schema")),
    *(f"quarantine {name}" for name in ("list", "export")),
]
HEAVY = ("pyarrow", "duckdb", "pyiceberg", "pydantic", "rich", "sqlalchemy", "yaml", "msgspec", "carlake.lakehouse")


def test_help_shows_every_command_in_its_group_on_one_screen(
    carlake: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = carlake("--help")
    lines = said.out.splitlines()
    assert said.code == 0
    assert len(lines) <= 36 and max(map(len, lines)) <= 80
    groups: dict[str, list[str]] = {}
    group = ""
    for line in lines[3 : lines.index("", 3)]:
        group = line[2:9].strip() or group
        groups.setdefault(group, []).append(line[11:].split()[0])
    assert groups == GROUPS
    assert all(f"--{option}" in said.out for option in ("lake", "settings", "json", "debug", "version"))


def test_no_sentence_of_the_help_is_cut_at_80_columns(carlake: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    narrow = carlake("--help").out
    monkeypatch.setenv("COLUMNS", "200")
    assert carlake("--help").out == narrow


def test_no_arguments_show_the_help(carlake: Callable) -> None:
    assert carlake().out == carlake("--help").out


@pytest.mark.parametrize("command", [*COMMANDS, "version"])
def test_every_command_has_a_page_that_names_the_shared_options(carlake: Callable, command: str) -> None:
    said = carlake(*command.split(), "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: carlake {command}")
    assert all(option in said.out for option in ("--lake DIR", "--settings FILE", "--json", "--debug"))
    assert "default:" not in said.out and "<int" not in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_stand_on_lines_of_their_own(carlake: Callable, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """An example that is not indented in its docstring would run together with the next one into a paragraph."""
    monkeypatch.setenv("COLUMNS", "100")
    text = carlake(*command.split(), "--help").out.split("\n\n", 1)[1].split("\nEvery command takes")[0]
    examples = [line for line in text.splitlines() if re.match(r" *carlake [a-z]+( |$)", line)]
    assert [line for line in examples if not line.startswith("  ") or line.count("carlake ") > 1] == []


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['carlake', '--help']\n"
        "from carlake.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split("MODULES ")[1].split()
    assert "typer" in loaded
    assert [name for name in loaded if name in HEAVY or name.split(".")[0] in HEAVY] == []


def test_version(carlake: Callable) -> None:
    from carlake.version import VERSION

    assert carlake("--version").out == carlake("version").out == f"carlake {VERSION}\n"
    assert carlake("version", "--json").json == {"version": VERSION}


def test_help_is_bold_on_a_terminal_and_plain_without_colour(
    carlake: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[1m" in carlake("--help", terminal=True).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in carlake("--help", terminal=True).out
