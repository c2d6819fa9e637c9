"""The names that a user imports from the package itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

import carlake
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.version import VERSION


def test_the_package_gives_the_api() -> None:
    assert (carlake.Lakehouse, carlake.Settings, carlake.__version__) == (Lakehouse, Settings, VERSION)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Lake'"):
        carlake.Lake  # noqa: B018


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = "import sys, carlake; print(sorted({'duckdb', 'pyarrow', 'pyiceberg', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
