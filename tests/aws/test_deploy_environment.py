"""`carlake deploy environment`: a shell that runs its lines works on the lake of a deployment as the functions do."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from carlake_aws.lake_settings import Environment
from carlake_aws.names import Names
from carlake_aws.parameters import Parameters

from aws.own import ping, settings_file
from carlake.cli.app import call
from servers import moto

CARLAKE = f"carlake() {{ {shlex.quote(sys.executable)} -c 'from carlake.cli.main import main; main()' \"$@\"; }}\n"
# The AWS command line's one call, by the library that it is made of.
AWS = f"""#!{sys.executable}
import sys, boto3
assert sys.argv[1:3] == ["secretsmanager", "get-secret-value"] and sys.argv[7:] == ["--query", "SecretString", "--output", "text"]
region, secret = sys.argv[4], sys.argv[6]
print(boto3.client("secretsmanager", region_name=region).get_secret_value(SecretId=secret)["SecretString"])
"""
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"


@pytest.fixture(scope="module")
def server() -> Iterator[moto.Server]:
    with moto.running() as found:
        yield found


def _shell(lines: str, server: moto.Server, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CARLAKE_"))}
    own = {"HOME": str(folder), "XDG_STATE_HOME": str(folder), "PATH": f"{folder}:{kept['PATH']}"}
    given = {name: value for name, value in server.environment.items() if "REGION" not in name}
    return subprocess.run(
        ["bash", "-c", CARLAKE + lines],
        env=kept | given | own,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_shell_with_it_works_on_the_lake_as_the_functions_do(server: moto.Server, tmp_path: Path) -> None:
    prefix, mine = f"e{uuid4().hex[:6]}", f"landing-{uuid4().hex[:8]}"
    secret = server.client("secretsmanager").create_secret(Name=f"{prefix}-key", SecretString="4f" * 32)["ARN"]
    settings_file(tmp_path / "it's mine")
    (tmp_path / "parameters.toml").write_text(
        f'prefix = "{prefix}"\nregion = "{moto.REGION}"\nsettings = "it\'s mine/carlake.toml"\n'
        f'existing_landing_bucket = "{mine}"\nlanding_prefix = "raw/cars"\npseudonym_secret = "{secret}"\n'
    )
    for bucket in (mine, *(f"{prefix}-prod-{kind}-123456789012-{moto.REGION}" for kind in ("archive", "warehouse"))):
        server.client("s3").create_bucket(Bucket=bucket)
    server.client("glue").create_database(DatabaseInput={"Name": f"{prefix}_prod"})
    server.client("s3").put_object(Bucket=mine, Key="raw/cars/a.json", Body=ping("A-PERSON", 7.0).encode())
    enter = 'eval "$(carlake deploy environment --parameters parameters.toml)"\n'

    refused = _shell(
        f"{enter}env | grep -E '^(AWS_REGION|CARLAKE_)' | sort\ncarlake init >init.txt\ncarlake run", server, tmp_path
    )
    assert refused.stdout.splitlines() == [
        f"AWS_REGION={moto.REGION}",
        f"CARLAKE_ARCHIVE=s3://{prefix}-prod-archive-123456789012-{moto.REGION}",
        "CARLAKE_CATALOG=glue",
        f"CARLAKE_LAKE=s3://{prefix}-prod-warehouse-123456789012-{moto.REGION}/lake",
        f"CARLAKE_LANDING=s3://{mine}/raw/cars",
        f"CARLAKE_NAMESPACE={prefix}_prod",
        f"CARLAKE_PSEUDONYM_KEY_FILE={tmp_path}/{prefix}-prod.key",
        f"CARLAKE_SETTINGS={tmp_path}/it's mine/carlake.toml",
    ]
    assert refused.returncode == 1 and "is not there. Who may read the secret" in refused.stderr
    assert "The pseudonym key cannot be read" in refused.stderr, "nothing lands in clear"
    (fetch,) = (line for line in refused.stderr.splitlines() if line.startswith("(umask"))
    assert "4f4f" not in refused.stdout + refused.stderr

    (tmp_path / "aws").write_text(AWS)
    (tmp_path / "aws").chmod(0o755)
    failed = _shell(fetch.replace("-key-", "-other-"), server, tmp_path)
    key = tmp_path / f"{prefix}-prod.key"
    assert failed.returncode and not key.exists()
    query = "carlake query 'SELECT car_chassis, current_mileage_km FROM silver_car_telemetry' --format csv"
    done = _shell(f"{fetch}\n{enter}carlake run > run.txt && {query}", server, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert key.stat().st_mode & 0o077 == 0
    (row,) = done.stdout.splitlines()[1:]
    assert row.startswith("p_") and row.endswith(",7.0")
    left = {
        bucket: [one["Key"] for one in server.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())]
        for bucket in (mine, f"{prefix}-prod-archive-123456789012-{moto.REGION}")
    }
    assert left.pop(mine) == [] and [key for keys in left.values() for key in keys if not key.startswith(".")]


def test_a_deployment_without_them_takes_back_what_another_said() -> None:
    found = Environment.of(Names(Parameters(), "aws", "123456789012", "eu-west-1", ""), Path("some.key"))
    assert found.key_file is None and found.fetch == ""
    assert "export CARLAKE_SETTINGS=''" in found.exports()
    assert "export CARLAKE_PSEUDONYM_KEY_FILE=''" in found.exports()
    assert found.variables["CARLAKE_LANDING"] == "s3://carlake-prod-landing-123456789012-eu-west-1/in"


def test_as_one_document(
    server: moto.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    parameters = tmp_path / "parameters.toml"
    parameters.write_text(f'pseudonym_secret = "{SECRET}"\n')
    key = tmp_path / "some.key"
    key.write_text("4f" * 32)
    asked = ["deploy", "environment", "--parameters", str(parameters), "--key-file", str(key)]
    assert call([*asked, "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (
        told["variables"]["CARLAKE_PSEUDONYM_KEY_FILE"] == str(key) and told["variables"]["AWS_REGION"] == "eu-west-1"
    )
    assert told["pseudonym_key"]["there"] is True and SECRET in told["pseudonym_key"]["fetch"]
    assert "4f4f" not in said.out
    assert call(asked) == 0
    said = capsys.readouterr()
    assert said.err == "" and all(line.startswith("export ") for line in said.out.splitlines())
