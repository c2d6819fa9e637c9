"""The layers of carlake, from the top down, and what breaks them. Works on source text alone; nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

# A module may import from its own unit and from the layers below; the units of one layer know nothing of each other.
# A unit is a set of patterns, matched against the module's name without `carlake.`; the first that matches counts.
LAYERS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("aws", "aws.*"),),
    (("cli", "cli.*"),),
    (("watch", "watch.*"),),
    (("lakehouse", "mending", "opened", "journal"),),
    (("look", "look.*"), ("upkeep", "upkeep.*")),
    # Spark's workers judge records by the embedded engine's own code.
    (("engines.spark", "engines.spark.*"),),
    (("engines.duckdb", "engines.duckdb.*"), ("refresh", "refresh.*")),
    (("engines", "engines.*"), ("queue", "queue.*")),
    (("landing", "landing.*"), ("simulator", "simulator.*"), ("catalogs", "catalogs.*"), ("hooks",)),
    (
        ("tables", "tables.*", "contracts", "contracts.*", "rules", "rules.*"),
        ("lake", "lake_in_store", "lake_record"),
        ("storage.durable", "storage.store_files", "storage.store_paths"),
    ),
    (("storage.places",),),
    (
        ("settings", "settings_*"),
        ("",),
        ("storage.checksums",),
        ("storage.clients",),
        ("storage.kept",),
        ("storage.listings",),
        ("storage",),
    ),
    (("errors",), ("version",), ("lazy",), ("words",)),
)

# Which modules may import a package, also inside functions. Everybody else goes through them.
ONLY_FROM: dict[str, tuple[str, ...]] = {
    "duckdb": ("engines.duckdb.*",),
    "py4j": ("engines.spark*",),
    "pyspark": ("engines.spark*", "aws.*"),
    "pyiceberg": (
        "catalogs.*",
        "storage.durable",
        "storage.store_files",
        "engines.*",
        "refresh.*",
        "look.*",
        "upkeep.*",
    ),
    "sqlglot": ("engines.spark*",),
    "sqlalchemy": ("catalogs.*",),
    "obstore": ("landing.*", "storage.places", "storage.listings", "storage.clients"),
    "cryptography": ("landing.*",),
    "typer": ("cli.*",),
    "rich": ("cli.*",),
    "pydantic": ("settings", "settings_*"),
    "boto3": ("aws.*", "storage.clients", "queue.sqs"),
    "watchfiles": ("watch.hints",),
    "prometheus_client": ("watch.*",),
}

# Imports that go the wrong way and are to go: refresh shall know `engines.protocol` alone, so that Spark can come.
OWED: frozenset[tuple[str, str]] = frozenset()


def sources(folder: Path = SOURCE) -> dict[str, str]:
    """Every module of the package by its full name, with its text."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def place(module: str) -> tuple[int, int] | None:
    """Layer and unit of a module of carlake, counted from the top; None if it has no place yet."""
    name = module.removeprefix("carlake").removeprefix(".")
    # engines.duckdb stands above engines.*, so the first match from the top is the most particular one.
    for depth, layer in enumerate(LAYERS):
        for number, unit in enumerate(layer):
            if any(fnmatchcase(name, pattern) for pattern in unit):
                return depth, number
    return None


def imports(module: str, text: str, modules: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Names of the modules that `text` imports when it runs, with the line; imports for type checkers do not count."""
    tree = ast.parse(text)
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module if _is_package(module, modules) else module.rpartition(".")[0]
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            inner = [f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in modules]
            yield from ((name, node.lineno) for name in inner or [base])


def misplaced(modules: Mapping[str, str], owed: frozenset[tuple[str, str]] = frozenset()) -> list[str]:
    """Imports that go up or sideways, modules without a layer, and imports of a package that a layer may not know."""
    wrong = []
    for module, text in modules.items():
        own = place(module)
        if own is None:
            wrong.append(f"{module} has no layer: give it a place in tests/structure/layers.py")
            continue
        for target, line in imports(module, text, modules):
            package = target.split(".")[0]
            if package == "carlake":
                other = place(target)
                if other is None or other == own or other[0] > own[0] or (module, target) in owed:
                    continue
                way = "its upper layer" if other[0] < own[0] else "its neighbour"
                wrong.append(f"{module}:{line} imports {way} {target}")
            elif allowed := ONLY_FROM.get(package):
                name = module.removeprefix("carlake.")
                if not any(fnmatchcase(name, pattern) for pattern in allowed):
                    wrong.append(f"{module}:{line} imports {target}, which is for {', '.join(allowed)}")
    return wrong


def orphans(modules: Mapping[str, str], faces: tuple[str, ...]) -> list[str]:
    """Modules that no face leads to, by imports or by their name in a text: nobody can run what they hold."""
    found: set[str] = set()
    waiting = [face for face in faces if face in modules]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        # Whoever imports a module runs its packages' __init__, too.
        waiting += [".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)]
        waiting += [target for target, _ in imports(module, modules[module], modules) if target in modules]
        named = re.findall(r"[\"'](carlake(?:\.\w+)+)", modules[module])
        waiting += [name for text in named for name in (text, text.rpartition(".")[0]) if name in modules]
    return sorted(set(modules) - found)


def circles(modules: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a circle, each circle once."""
    graph = {
        module: sorted({target for target, _ in imports(module, text, modules) if target in modules} - {module})
        for module, text in modules.items()
    }
    found: set[str] = set()
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> None:
        if module in path:
            ring = path[path.index(module) :]
            least = ring.index(min(ring))
            found.add(" -> ".join([*ring[least:], *ring[:least], ring[least]]))
        elif module not in done:
            for target in graph[module]:
                follow(target, [*path, module])
            done.add(module)

    for module in graph:
        follow(module, [])
    return sorted(found)


def _is_package(module: str, modules: Mapping[str, str]) -> bool:
    return any(name.startswith(f"{module}.") for name in modules)
