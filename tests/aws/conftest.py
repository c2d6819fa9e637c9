"""The templates of a deployment, synthesized once for all tests of a process, with no account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from carlake_aws import node
from carlake_aws.names import Names
from carlake_aws.parameters import Parameters
from carlake_aws.templates import synthesize

from servers.function import Package, built

node.use()  # before any test imports CDK

Template = dict[str, Any]

KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every stack's template as a file, checked by the rules of AwsSolutions."""
    return synthesize(Parameters(), tmp_path_factory.mktemp("assembly"))


@pytest.fixture(scope="session")
def templates(files: dict[str, Path]) -> dict[str, Template]:
    """Every stack's template."""
    return {holds: json.loads(file.read_text(encoding="utf-8")) for holds, file in files.items()}


@pytest.fixture(scope="session")
def names() -> Names:
    """The names in an account."""
    return Names(Parameters(), "aws", "123456789012", "eu-west-1", KEY)


@pytest.fixture(scope="session")
def package() -> Iterator[Package]:
    """The functions' package of the code that lies here, unpacked."""
    with built() as found:
        yield found


# Minutes of the package in its runtime and of whole deployments: `make test-aws`.
_LONG = frozenset(
    f"test_{name}.py"
    for name in ("deploy_apply", "deploy_check", "deploy_check_own", "operators", "package", "runtime", "spark_job")
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the long proofs where they are not asked for."""
    return (collection_path.name in _LONG and config.getoption("--aws") != "all") or None
