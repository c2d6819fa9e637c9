"""The documentation is true: its commands print what it says, its reference is the code's, every page can be found."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from carlake.cli.app import app
from docs import make_reference, run_pages


@pytest.mark.parametrize("page", run_pages.pages(), ids=lambda page: page.stem)
def test_a_page_prints_what_it_says(page: Path, small_folder: Path) -> None:
    done = run_pages.execute(page.read_text(encoding="utf-8"), small_folder.resolve())
    assert not done.differences, "`make docs` writes what is printed now:\n\n" + "\n\n".join(done.differences)


def test_the_reference_is_made_from_the_code_as_it_is() -> None:
    made = make_reference.pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in make_reference.FOLDER.iterdir()}
    assert sorted(made) == sorted(there)
    assert [name for name, text in made.items() if there[name] != text] == [], "`make docs` makes them again"


def test_every_page_can_be_found_from_the_index() -> None:
    docs = run_pages.ROOT / "docs"
    links = set(re.findall(r"\]\(([\w./-]+)\)", (docs / "index.md").read_text(encoding="utf-8")))
    to_follow = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md") if "decisions" not in path.parts}
    assert to_follow - {"index.md"} <= links
    assert "docs/index.md" in (run_pages.ROOT / "README.md").read_text(encoding="utf-8")


PAGE = """Write `in.txt`:

```
one
```

```console
$ cat in.txt
one
$ cat missing
...
$ echo $?
1
$ echo /srv/fleet
/srv/fleet
```

```python
print(6 * 7)
```

```text
42
```
"""


def test_a_page_that_is_true(tmp_path: Path) -> None:
    done = run_pages.execute(PAGE, tmp_path)
    assert (done.text, done.differences) == (PAGE, [])


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("$ cat in.txt\none", "$ cat in.txt\ntwo"),
        ("$ echo $?\n1", "$ echo $?\n0"),
        ("\n42\n", "\n41\n"),
        ("\n1\n", "\n"),
    ],
)
def test_a_page_that_is_false_is_named_and_mended(true: str, false: str, tmp_path: Path) -> None:
    assert PAGE.count(true) == 1
    done = run_pages.execute(PAGE.replace(true, false), tmp_path)
    assert len(done.differences) == 1
    assert done.text == PAGE


def test_a_file_of_settings_that_is_there_is_changed_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('# one = 1\ntwo = 2\n[lake]\nid = "x"\n')
    run_pages.execute("`a.toml`:\n\n```toml\none = 11\ntwo = 22\n```\n", tmp_path)
    assert (tmp_path / "a.toml").read_text() == 'one = 11\ntwo = 22\n[lake]\nid = "x"\n'
    with pytest.raises(ValueError, match=r"a\.toml has 0 lines of three"):
        run_pages.execute("`a.toml`:\n\n```toml\nthree = 3\n```\n", tmp_path)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("Run 20261121T045910-531f83  succeeded in 1.17 s", "Run 20300101T000000-ffffff  succeeded in 12.0 s"),
        ("  bronze_car_data  3  3  0  0.32", "  bronze_car_data       3        3        0    10.07"),
        (
            "  silver_car_telemetry  0  0  0  0.32  no row changed",
            "  silver_car_telemetry  0  0  0  0.01  no row changed",
        ),
        ("landed 2026-11-21 04:59:13Z, 1.7 kB", "landed 2027-01-01 00:00:00Z, 608 bytes"),
        ("snapshot 3160416091551996319", "snapshot 660742077648471763"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("a\n...", "a"),
    ],
)
def test_what_differs_from_run_to_run_is_no_difference(written: str, printed: str) -> None:
    assert run_pages.agrees(written, printed)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("  bronze_car_data  3  3  0  0.32", "  bronze_car_data  3  4  0  0.32"),
        ("CAR-1  2025-11-30  EXPIRED", "CAR-1  2025-11-29  EXPIRED"),
        ("4 files, 7 records", "4 files, 8 records"),
        ("failed in 1.17 s", "succeeded in 1.17 s"),
        ("a\n...\nd", "a\nb\nc"),
        ("", "a"),
        ("a", ""),
    ],
)
def test_what_matters_is_a_difference(written: str, printed: str) -> None:
    assert not run_pages.agrees(written, printed)


def _shown(text: str) -> list[list[str]]:
    """The calls of carlake in blocks that are only shown, as words; a line that ends in a backslash goes on."""
    blocks = re.findall(r"^ *```(?:sh|bash)\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\$\([^()]*\)", "X", "".join(blocks).replace("\\\n", " ")).splitlines()
    calls = [re.search(r"(?:^|\| |&& )\s*(carlake .*?)(?: \|\| .*| > .*)?$", line) for line in lines]
    return [shlex.split(call[1], comments=True) for call in calls if call]


def _unknown(words: list[str]) -> Iterator[str]:
    """The command or options of a call that carlake does not have."""
    command, rest = typer.main.get_command(app), words[1:]
    while rest and rest[0] in (below := getattr(command, "commands", {})):
        command, rest = below[rest[0]], rest[1:]
    known = {name for param in command.params for name in param.opts}
    yield from (word for word in rest if word.startswith("-") and word.split("=")[0] not in known)
    if hasattr(command, "commands") and rest:
        yield rest[0]


def test_commands_that_are_only_shown_are_there_with_their_options() -> None:
    calls = [
        (page.name, words)
        for page in (run_pages.ROOT / "docs").rglob("*.md")
        for words in _shown(page.read_text(encoding="utf-8"))
    ]
    assert len(calls) > 60 and [(page, words) for page, words in calls if list(_unknown(words))] == []


def test_what_is_shown_is_read_as_calls() -> None:
    page = "```sh\nexport X=1\n  carlake run a \\\n  --lake b || break\nx | carlake query - # why\n```\n```console\n$ carlake a\n```\n"
    assert _shown(page) == [["carlake", "run", "a", "--lake", "b"], ["carlake", "query", "-"]]
    assert list(_unknown(["carlake", "run", "--leak", "b"])) == ["--leak"]
    assert list(_unknown(["carlake", "deploy", "aply"])) == ["aply"] == list(_unknown(["carlake", "aply"]))
