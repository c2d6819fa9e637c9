"""Settings, contracts and rules of a user's own come with the code, under the same hash, and nothing secret with them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from carlake_aws.build import code_of, contents_of
from carlake_aws.own_settings import THE_DEPLOYMENTS, OwnSettingsError, contents, place
from carlake_aws.parameters import Parameters, read
from carlake_aws.templates import resources

import carlake
from aws.conftest import Template
from aws.own import settings_file
from carlake.errors import ContractError, SettingsError
from carlake.settings import Settings


def test_code_finds_what_was_packaged_with_it_wherever_it_is_unpacked(tmp_path: Path) -> None:
    own = contents(settings_file(tmp_path / "mine"))
    assert sorted(own) == ["carlake_own/carlake.toml", "carlake_own/contracts/ping.yaml"]
    package = tmp_path / "package"
    shutil.copytree(Path(carlake.__file__).parent, package / "carlake")
    bare = code_of(contents_of(package))
    asks = (
        "from carlake.aws.own_settings import file_beside_the_code as file\n"
        "from carlake.settings import Settings\n"
        "from carlake.contracts.load import load\n"
        "found = file()\n"
        "print(found)\n"
        "print([one.name for one in load(Settings.load(file=found).contracts).contracts] if found else [])\n"
    )

    def told() -> list[str]:
        command = [sys.executable, "-c", asks]
        done = subprocess.run(command, cwd=package, env={}, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert told() == ["None", "[]"]
    place(own, package)
    file, names = told()
    assert Path(file).resolve() == (package / "carlake_own" / "carlake.toml").resolve()
    assert names.endswith("'ping']")
    shutil.rmtree(package / "carlake" / "__pycache__", ignore_errors=True)
    assert code_of(contents_of(package)) != bare, "another contract is another code"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('landing = "s3://elsewhere/in"', "which the deployment sets itself"),
        ('engine = "spark"', "which the deployment sets itself"),
        ('pseudonym_key_file = "key"', "may hold a secret"),
        ('[hooks_headers]\nAuthorization = "x"', "may hold a secret"),
        ('contracts = ["../outside.yaml"]', "lies elsewhere"),
        ('contracts = ["{folder}/contracts/ping.yaml"]', "by its whole path"),
    ],
)
def test_what_a_package_does_not_hold_is_refused(text: str, says: str, tmp_path: Path) -> None:
    file = settings_file(tmp_path / "mine")
    contract = (file.parent / "contracts" / "ping.yaml").read_text()
    (tmp_path / "outside.yaml").write_text(contract)
    file.write_text(text.format(folder=file.parent) + "\n")
    with pytest.raises(OwnSettingsError, match=says):
        contents(file)


def test_what_the_templates_set_is_what_a_file_may_not(templates: dict[str, Template]) -> None:
    functions = resources(templates["compute"], "AWS::Lambda::Function").values()
    variables = {name for one in functions for name in one["Properties"]["Environment"]["Variables"]}
    (job,) = resources(templates["compute"], "AWS::Glue::Job").values()
    given = {name.removeprefix("CARLAKE_").lower() for name in variables if name.startswith("CARLAKE_")}
    given |= {name.removeprefix("--").replace("-", "_") for name in job["Properties"]["DefaultArguments"]}
    assert given & set(Settings.model_fields) <= THE_DEPLOYMENTS


def test_a_mistake_is_found_before_anything_is_built(tmp_path: Path) -> None:
    file = settings_file(tmp_path / "mine")
    file.write_text('contracs = ["contracts"]\n')
    with pytest.raises(SettingsError, match="contracs"):
        contents(file)
    file.write_text('contracts = ["contracts"]\nrules = ["rules.yaml"]\n')
    with pytest.raises(ContractError, match=r"rules\.yaml does not exist"):
        contents(file)
    (file.parent / "contracts" / "ping.yaml").write_text("contract: ping\nversion: 1\nfelds: {}\n")
    file.write_text('contracts = ["contracts"]\n')
    with pytest.raises(ContractError, match="felds"):
        contents(file)


def test_the_parameters_name_it_from_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    file = tmp_path / "deploy" / "parameters.toml"
    file.write_text('settings = "lake/carlake.toml"\n')
    assert read(file).settings_file == tmp_path / "deploy" / "lake" / "carlake.toml"
    assert Parameters().settings_file is None
