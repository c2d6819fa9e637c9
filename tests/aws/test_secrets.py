"""No secret is in what is published or deployed: what the wheel holds, and the code of the deployment."""

from __future__ import annotations

from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

from servers.spark_submit import ROOT

DETECTORS = (
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "GitHubTokenDetector",
    "JwtTokenDetector",
    "PrivateKeyDetector",
    "SlackDetector",
)
PUBLISHED = ("src/carlake", "deploy/aws")
"""The wheel's packages, and the deployment. Templates are scanned where they are made (`test_templates.py`)."""


def secrets(*files: Path, joined: Path) -> list[str]:
    """What looks like a secret. The files are scanned as one: to begin with a file takes longer than to read it."""
    lines = [(file.name, line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    joined.write_text("\n".join(line for _, line in lines), encoding="utf-8")
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        return [f"{lines[found.line_number - 1]}: {found.type}" for found in scan_file(str(joined))]


@pytest.mark.parametrize(
    "planted",
    [
        f'"aws_access_key_id": "AKIA{"Q" * 16}"',
        f"-----BEGIN RSA {'PRIVATE'} KEY-----",
        f"url = 'https://user:{'p4ss' * 3}@example.com'",
        f'token = "ghp_{"a1B2" * 9}"',
    ],
)
def test_what_is_planted_is_found(planted: str, tmp_path: Path) -> None:
    file = tmp_path / "planted.py"
    file.write_text(f"{planted}\n", encoding="utf-8")
    assert secrets(file, joined=tmp_path / "joined.py")


def test_no_secret_is_in_the_wheel_nor_in_the_deployment(tmp_path: Path) -> None:
    files = [
        file
        for folder in PUBLISHED
        for file in sorted((ROOT / folder).rglob("*"))
        if file.is_file() and file.suffix in (".py", ".yaml", ".toml", ".tf", ".json", ".md", ".typed")
    ]
    assert len(files) > 250
    assert secrets(*files, joined=tmp_path / "joined.py") == []
