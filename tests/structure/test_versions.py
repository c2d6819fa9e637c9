"""`constraints.txt` pins every package that a fresh environment needs, and `pyproject.toml` admits each pin."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from carlake.version import VERSION
from structure.layers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared(*texts: str) -> list[Requirement]:
    """Requirements, with those of carlake's own extras in place of `carlake[extra]`."""
    found = []
    for requirement in map(Requirement, texts):
        own = [PROJECT["optional-dependencies"][extra] for extra in requirement.extras if requirement.name == "carlake"]
        found += declared(*(text for extra in own for text in extra)) if own else [requirement]
    return found


DECLARED = declared(
    *PROJECT["dependencies"], *(text for extra in PROJECT["optional-dependencies"].values() for text in extra)
)


def pin_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def pins() -> dict[str, Version]:
    pairs = [line.split("==") for line in pin_lines()]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def needed(*, here: bool) -> dict[str, list[Requirement]]:
    """Every package that carlake and its extras need, with who asks for it: on this platform, or on any (`here` False)."""
    asked: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = list(DECLARED)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        asked.setdefault(name, []).append(requirement)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                texts = metadata.requires(requirement.name) or []
            except metadata.PackageNotFoundError:
                assert not here, f"{requirement.name} is needed and not installed: run make setup-tests"
                continue
            for inner in map(Requirement, texts):
                wants_extra = "extra" in str(inner.marker)
                environment = {**default_environment(), "extra": extra}
                if inner.marker is None or inner.marker.evaluate(environment) or not (here or wants_extra):
                    waiting.append(inner)
    return asked


def test_every_pin_is_one_exact_version() -> None:
    assert [line for line in pin_lines() if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert pin_lines() == sorted(pin_lines(), key=lambda line: line.split("==")[0])


def test_every_package_that_is_needed_is_pinned_and_is_that_version() -> None:
    installed = {name: Version(metadata.version(name)) for name in needed(here=True)}
    assert {name: pins().get(name) for name in installed} == installed


def test_every_range_admits_the_pin() -> None:
    fixed = pins()
    refused = [
        f"{requirement} does not admit {fixed[name]}"
        for name, requirements in needed(here=True).items()
        for requirement in requirements
        if fixed[name] not in requirement.specifier
    ]
    assert refused == []


def test_no_pin_is_left_over() -> None:
    assert pins().keys() - needed(here=False).keys() == set()


def test_only_stable_versions_are_pinned() -> None:
    assert {name: version for name, version in pins().items() if version.is_prerelease} == {}


def test_the_package_names_its_own_version() -> None:
    assert metadata.version("carlake") == VERSION
