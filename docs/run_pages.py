"""Run every page of the documentation as a reader would, and keep its outputs true: `make docs`.

What is run, in the page's order, in one new folder:
- a block after a line that ends in a file's name in backquotes and a colon is written to that file; lines of TOML take
  the place of the lines of the same key, commented out or not, in a file that is there already;
- each `$ ` line of a `console` block, with the `> ` lines that go on with it; what it prints must be the lines below it.
  A line `...` there stands for any lines. `carlake` runs in this process, everything else in bash;
- a `python` block; what it prints must be the `text` block that follows.
Other blocks are only read. Pages write the folder as /srv/fleet, and what differs from run to run (run and snapshot ids,
seconds, sizes of files, the clock) as it was once: `steady` says what. Events have times of 2025, the clock has not.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from carlake.cli.app import call

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "/srv/fleet"
WIDTH = "100"
ANY = "..."
DEFECT = "Error: Unexpected "

_BLOCK = re.compile(r"(?P<before>[^\n]*)\n(?:[ \t]*\n)*```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"`(?P<name>[^`]+)`:$")
_SHELL = re.compile(r"[|<&;*?$`]|>>|\b(cd|export) ")
_VARIABLE = (
    (re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}"), "RUN"),
    (re.compile(r"20(?:2[6-9]|[3-9]\d)-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?"), "NOW"),
    # The demo's fleet ends today, so what it did in which month is another every day.
    (re.compile(r"^.*\b20(?:2[6-9]|[3-9]\d)-\d\d .*$", re.MULTILINE), "MONTH"),
    (re.compile(r"(one row per car and month; 6 of) \d+"), r"\1 ROWS"),
    (re.compile(r"\b\d{16,19}\b|…\d{7}"), "SNAPSHOT"),
    (re.compile(r"\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,64}\b"), "HASH"),
    (re.compile(r"\b[\d,.]+ s\b"), "SECONDS s"),
    (re.compile(r"\b[\d,.]+ (?:bytes|[kMG]B)\b"), "SIZE"),
    # The last number of a table's line in a run's report is its seconds.
    (re.compile(r"^( +(?:bronze|silver|quarantine|gold|ops)_\w+ .*) \d+\.\d\d(?=$|  )", re.MULTILINE), r"\1 SECONDS"),
    (re.compile(r"[ ]{2,}"), "  "),
    (re.compile(r"[─]{2,}"), "──"),
)


@dataclass
class Executed:
    """A page that was run: its text with what its blocks print now, and where that is not what the page says."""

    text: str = ""
    differences: list[str] = field(default_factory=list)


def pages() -> list[Path]:
    """The pages that are run: the README and all that a person wrote to be followed."""
    return [
        ROOT / "README.md",
        ROOT / "docs/tutorial.md",
        ROOT / "docs/records.md",
        ROOT / "docs/aws-costs.md",
        *sorted(ROOT.glob("docs/how-to/*.md")),
    ]


def steady(text: str) -> str:
    """Text without what differs from run to run."""
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    return text.rstrip()


def agrees(written: str, printed: str) -> bool:
    """Whether a page's output is what was printed, but for what varies and what `...` leaves out."""
    lines = ["(?:.*\n)*" if line.strip() == ANY else re.escape(f"{line}\n") for line in steady(written).splitlines()]
    return re.fullmatch("".join(lines), f"{steady(printed)}\n" if printed.strip() else "") is not None


def execute(text: str, folder: Path) -> Executed:
    """Run a page's blocks in a new folder."""
    done, end, printed = Executed(), 0, None
    with _as_reader(folder):
        for block in _BLOCK.finditer(text):
            done.text += text[end : block.start("text")]
            end = block.end("text")
            kind, body = block["kind"], block["text"]
            named = _NAMED.search(block["before"]) if kind not in ("console", "python", "sh") else None
            if named:
                file = folder / named["name"]
                (_change if kind == "toml" and file.exists() else _write)(file, body.replace(FOLDER, str(folder)))
            elif kind == "console":
                body = "".join(_console(body, folder, done.differences))
            elif kind == "text" and printed is not None:
                body = _compared(block["before"], body, printed, done.differences)
            printed = _python(body, folder) if kind == "python" else None
            done.text += body
    done.text += text[end:]
    return done


def _console(body: str, folder: Path, differences: list[str]) -> Iterator[str]:
    code = 0
    for part in re.split(r"^(?=\$ )", body, flags=re.MULTILINE):
        if not part:
            continue
        typed = re.match(r"\$ .*\n(?:> .*\n)*", part)
        if typed is None:
            raise ValueError(f"a console block begins with a command, not with: {part}")
        command = re.sub(r"^[$>] ", "", typed[0], flags=re.MULTILINE).strip().replace(FOLDER, str(folder))
        printed, code = _run(command, code)
        yield typed[0] + _compared(
            typed[0].strip(), part[typed.end() :], printed.replace(str(folder), FOLDER), differences
        )


def _compared(what: str, written: str, printed: str, differences: list[str]) -> str:
    if agrees(written, printed):
        return written
    differences.append(f"{what}\n--- written\n{steady(written)}\n--- printed\n{steady(printed)}")
    return f"{printed.rstrip()}\n" if printed.strip() else ""


def _run(command: str, code: int) -> tuple[str, int]:
    """What a command prints on both its outputs, and its exit code; `code` is that of the command before it."""
    if not command.startswith("carlake ") or _SHELL.search(re.sub(r"'[^']*'|\"[^\"$`]*\"", "", command)):
        script = f"(exit {code})\n{command}"
        done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode(), done.returncode
    words = shlex.split(command)[1:]
    target = words[words.index(">") + 1] if ">" in words else None
    words = words[: words.index(">")] if target else words
    both = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(both), redirect_stderr(both):
        code = call(words)
    printed = both.buffer.getvalue()  # type: ignore[attr-defined]
    if target:
        Path(target).write_bytes(printed)
        return "", code
    return printed.decode(), code


def _python(body: str, folder: Path) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(body.replace(FOLDER, str(folder)), "page", "exec"), {"__name__": "page"})  # noqa: S102
    return printed.getvalue().replace(str(folder), FOLDER)


def _write(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body, encoding="utf-8")


def _change(path: Path, body: str) -> None:
    text = path.read_text(encoding="utf-8")
    for line in body.splitlines():
        key = re.escape(line.split(" = ")[0])
        text, found = re.subn(rf"^(?:# )?{key} = .*$", lambda _, line=line: line, text, flags=re.MULTILINE)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"{path.name} has {found} lines of {key}")
    path.write_text(text, encoding="utf-8")


@contextmanager
def _as_reader(folder: Path) -> Iterator[None]:
    """In the folder, with a terminal of one width, and the `carlake` of this Python."""
    given = {"COLUMNS": WIDTH, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        with chdir(folder):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def main() -> int:
    """Run the pages named, or all; write into each what it prints now. Exit 1 if one has met a defect of carlake."""
    broken = 0
    for page in map(Path, sys.argv[1:]) if sys.argv[1:] else pages():
        with tempfile.TemporaryDirectory() as folder:
            text = page.read_text(encoding="utf-8")
            done = execute(text, Path(folder).resolve())
        print(f"{page.name}: {len(done.differences) or 'no'} difference{'s' * (len(done.differences) != 1)}")
        if DEFECT in done.text:
            print(f"  left as it was: {DEFECT}{done.text.split(DEFECT)[1].splitlines()[0]}")
            broken = 1
        elif done.text != text:
            page.write_text(done.text, encoding="utf-8")
    return broken


if __name__ == "__main__":
    sys.exit(main())
