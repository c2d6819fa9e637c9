"""What every file of the project keeps to: size, names, docstrings, words, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from structure.layers import ROOT, SOURCE, sources

LONGEST_MODULE = 400
BIGGEST_FILE = 500_000
NAMELESS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc", "base", "core", "stuff"}
NOT_OURS = {".git", ".venv", ".envs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__"}
NOT_OURS |= {"build", "dist", "lake", "demo-lake", "out"}
# Folders of somebody's machine, and addresses that only an installer's own settings should name.
FORBIDDEN = re.compile(
    r"(?<![\w.~-])/(work|root|Users|home)/|(?<![\w.-])/tmp/\w|find-links|index-url|\w\.pythonhosted\b"
)


def project_files() -> list[Path]:
    def walk(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                if path.name not in NOT_OURS or (path.name == "lake" and path.parent.name == "tests"):
                    yield from walk(path)
            elif path.is_file() and path.suffix not in (".pyc", ".tmp"):
                yield path

    return list(walk(ROOT))


def test_no_file_is_big() -> None:
    assert [path for path in project_files() if path.stat().st_size > BIGGEST_FILE] == []


def test_no_module_is_long() -> None:
    long = {name: len(text.splitlines()) for name, text in sources().items()}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_MODULE} == {}


def test_names_come_from_the_field() -> None:
    names = [path for path in project_files() if path.suffix == ".py"]
    assert [path for path in names if NAMELESS & set(re.split(r"[_.]", path.stem))] == []


def init_logic(text: str) -> list[str]:
    """Statements of an `__init__.py` that are neither its docstring, imports, `__all__` nor names given lazily."""
    allowed = (ast.Import, ast.ImportFrom)
    return [
        ast.unparse(node)
        for number, node in enumerate(ast.parse(text).body)
        if not isinstance(node, allowed)
        and not (number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__getattr__"))
        and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse)
    ]


def test_init_files_hold_no_logic() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("__init__.py")}
    assert {path: found for path, text in texts.items() if (found := init_logic(text))} == {}
    assert init_logic('"""Doc."""\nimport os\n__all__ = ["os"]\nX = 1\ndef f(): ...') == ["X = 1", "def f():\n    ..."]


def reads_environment(text: str) -> list[int]:
    """Lines that read the environment while the module is imported: outside functions, or in their defaults."""
    lines = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for part in (*getattr(node, "decorator_list", []), *node.args.defaults, *node.args.kw_defaults):
                if part is not None:
                    visit(part)
            return
        if ast.unparse(node) in ("os.environ", "os.getenv", "environ", "getenv"):
            lines.append(getattr(node, "lineno", 0))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(text))
    return sorted(set(lines))


def test_no_module_reads_the_environment_when_imported() -> None:
    assert {name: lines for name, text in sources().items() if (lines := reads_environment(text))} == {}
    planted = (
        "import os\nA = os.environ['A']\ndef f(x=os.getenv('B')):\n    return os.environ\nclass C:\n    d = os.environ"
    )
    assert reads_environment(planted) == [2, 3, 6]


def undocumented(text: str) -> list[str]:
    """Public functions and classes of a module without a docstring, and `<module>` if it has none itself."""
    tree = ast.parse(text)
    bare = [] if ast.get_docstring(tree) else ["<module>"]
    return bare + [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]


def test_everything_public_says_what_it_is() -> None:
    assert {name: found for name, text in sources().items() if (found := undocumented(text))} == {}
    assert undocumented("def f(): ...\nclass C: ...\ndef _g(): ...\ndef h():\n    'Doc.'") == ["<module>", "f", "C"]


@pytest.mark.parametrize(
    "text", ["see /" + "work/x", "'/" + "home/me/lake'", "--find" + "-links x", "at /" + "tmp/lab"]
)
def test_the_forbidden_words_are_seen(text: str) -> None:
    assert FORBIDDEN.search(text)


def test_no_file_speaks_of_a_machine() -> None:
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if path != Path(__file__) and FORBIDDEN.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert found == []


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a Markdown page whose file, or heading in it, does not exist."""
    prose = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", prose):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists():
            broken.append(target)
        elif anchor and file.suffix == ".md":
            headings = text if file == page else file.read_text(encoding="utf-8")
            if anchor not in {_slug(line) for line in re.findall(r"^#+\s+(.*)$", headings, flags=re.MULTILINE)}:
                broken.append(target)
    return broken


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def test_links_lead_somewhere(tmp_path: Path) -> None:
    pages = [path for path in project_files() if path.suffix == ".md"]
    assert ROOT / "README.md" in pages
    assert {page: found for page in pages if (found := broken_links(page, page.read_text(encoding="utf-8")))} == {}
    text = "# One `two`\n[a](b.md) [c](#one-two) [d](#three) [e](https://example.org/x) `[f](g.md)`"
    page = tmp_path / "page.md"
    page.write_text(text)
    assert broken_links(page, text) == ["b.md", "#three"]
