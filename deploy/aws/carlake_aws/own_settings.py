"""A settings file of the user's, with the contracts and rules that it names, made ready to be put into a package."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from carlake.aws.own_settings import FILE, FOLDER
from carlake.contracts.document import files
from carlake.contracts.load import load as load_contracts
from carlake.errors import CarlakeError
from carlake.rules.load import load_rules
from carlake.settings import Settings
from carlake.settings_keys import KEY_FILES, PATH_KEYS, SECRET_KEYS

THE_DEPLOYMENTS = frozenset(
    (
        *("namespace", "catalog", "landing", "archive", "warehouse", "queue", "code", "engine", "spark_master"),
        *("memory_limit", "maintenance", "after_landing"),
    )
)
"""What the parameters say, so that a file could say otherwise only in vain."""


class OwnSettingsError(CarlakeError):
    """The settings file cannot be packaged."""


def contents(file: Path) -> dict[str, Path]:
    """What a package holds for a settings file: `carlake_own/...`, each with the file that it is a copy of.

    file  a `carlake.toml`; the contracts and rules that it names lie beside or below it, and are checked as a run would

    Raises OwnSettingsError for a file that is not there, a key that is not the file's to set, a secret, or a file that lies
    elsewhere; SettingsError and ContractError as a run does.
    """
    if not file.is_file():
        raise OwnSettingsError(
            f"{file} is not there, and the parameter settings names it.",
            "Give its path, relative to the file of parameters, or take the parameter out.",
        )
    settings = Settings.load(file=file, environ={})
    paths = {key: tuple(map(_without_dots, getattr(settings, key))) for key in PATH_KEYS}
    named = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    for key in named:
        if key in THE_DEPLOYMENTS:
            raise OwnSettingsError(
                f"{file} sets {key!r}, which the deployment sets itself.",
                "Take it out; `carlake deploy parameters` lists what may be chosen.",
            )
        if key in SECRET_KEYS or key in KEY_FILES:
            raise OwnSettingsError(
                f"{file} sets {key!r}, which may hold a secret or a path of one machine.",
                "Take it out: a package holds none of these.",
            )
    contracts = load_contracts(paths["contracts"], off=settings.contracts_off)
    load_rules(paths["rules"], extra_columns=contracts.extra_columns)
    root = file.absolute().parent.resolve()
    made = {f"{FOLDER}/{FILE}": file}
    for key in PATH_KEYS:
        for found in files(paths[key]):
            if not found.resolve().is_relative_to(root):
                raise OwnSettingsError(
                    f"{file} names {found} ({key}), which lies elsewhere.",
                    f"Put it below {root}, and name it by its path from there.",
                )
            made[f"{FOLDER}/{found.resolve().relative_to(root).as_posix()}"] = found
        for given in named.get(key, ()):
            if Path(given).is_absolute():
                raise OwnSettingsError(
                    f"{file} names {given} ({key}) by its whole path, which is another one where the code runs.",
                    f"Name it by its path from {root}.",
                )
    return made


def _without_dots(path: Path) -> Path:
    """`a/b/../c` as `a/c`, unless a link on the way makes that another file."""
    plain = Path(os.path.normpath(path))
    return plain if plain.resolve() == path.resolve() else path


def place(own: Mapping[str, Path], folder: Path) -> None:
    """Copy files into a folder, each to its name within it."""
    for name, source in own.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
