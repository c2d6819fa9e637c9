"""`carlake deploy apply` and `destroy`: what the CDK CLI is asked for, in which order, and what is done beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.account import signed_in
from carlake_aws.applied import Deployment
from carlake_aws.build import Built
from carlake_aws.cdk import VARIABLE, Cdk
from carlake_aws.errors import DeployError
from carlake_aws.names import BUCKETS
from carlake_aws.parameters import Parameters
from carlake_aws.planned import planned

from aws import emr
from aws.account import own_parameters
from carlake.cli.app import call
from servers import cdk, moto
from servers.faults import Fault, failing

CODE = "0123456789abcdef"
QUEUE = {"Resources": {"One": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "some-queue"}}}}


@pytest.fixture(scope="module")
def server() -> Iterator[moto.Server]:
    with moto.running() as found:
        yield found


@pytest.fixture(autouse=True)
def credentials(server: moto.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the CLI, a script that writes down what it is asked for; the file of that."""
    told, script = tmp_path / "asked", tmp_path / "cdk"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys\nopen({str(told)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "print('a line of an event')\nsys.exit('compute' in str(sys.argv) and 'fail' in str(sys.argv))\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(script))
    # The script reads no templates; they are synthesized by other tests, which takes seconds each time.
    monkeypatch.setattr("carlake_aws.destroyed.templates_of", lambda parameters, folder: {})
    return told


def _asked(file: Path) -> list[list[str]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _parameters() -> Parameters:
    return own_parameters().model_copy(update={"region": moto.REGION})


def _assembly(files: dict[str, Path], parameters: Parameters, folder: Path) -> Path:
    """The templates of the default parameters under other names."""
    folder.mkdir()
    for holds, file in files.items():
        text = file.read_text().replace(Parameters().name, parameters.name)
        (folder / f"{parameters.name}-{holds}.template.json").write_text(
            text.replace(Parameters().database, parameters.database)
        )
    return folder


def _package(folder: Path) -> Built:
    own = folder / f"carlake-1.0-{CODE}"
    own.mkdir(parents=True)
    for name in ("function.zip", "spark_job.py", "environment.tar.gz"):
        (own / name).write_text(name)
    return Built(own, "1.0", CODE, "3.13", 1, 1)


def _deployment(files: dict[str, Path], parameters: Parameters, folder: Path, told: list[str]) -> Deployment:
    assembly = _assembly(files, parameters, folder / "assembly")
    return Deployment(parameters, signed_in(moto.REGION), _package(folder / "packages"), assembly, told.append)


def _file(parameters: Parameters, folder: Path) -> str:
    file = folder / "parameters.toml"
    file.write_text(
        f'prefix = "{parameters.prefix}"\nenvironment = "{parameters.environment}"\nregion = "{moto.REGION}"\n'
    )
    return str(file)


def test_each_part_is_made_after_what_it_needs_and_by_the_role_that_may(
    server: moto.Server, files: dict[str, Path], asked: Path, tmp_path: Path
) -> None:
    parameters, told = _parameters(), list[str]()
    deployment = _deployment(files, parameters, tmp_path, told)
    bucket = deployment.account.names(parameters).bucket("code")
    server.client("s3").create_bucket(Bucket=bucket)
    done = deployment.apply()
    first, second, third = _asked(asked)
    name = parameters.name
    assert first[:2] == ["deploy", f"{name}-foundation"] and "--role-arn" not in first
    assert second[1:4] == [f"{name}-{holds}" for holds in ("intake", "storage", "catalog")]
    assert third[1:4] == [f"{name}-{holds}" for holds in ("compute", "query", "operations")]
    role = f"arn:aws:iam::123456789012:role/{name}-deploy-{moto.REGION}"
    assert all(words[words.index("--role-arn") + 1] == role for words in (second, third))
    assert f"{name}-compute:CodeVersion=1.0" in third and f"{name}-compute:CodeHash={CODE}" in third
    assert all({"--exclusively", "never", str(tmp_path / "assembly")} <= set(words) for words in (first, second, third))
    keys = [one["Key"] for one in server.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [
        f"packages/carlake-1.0-{CODE}/{file}" for file in ("environment.tar.gz", "function.zip", "spark_job.py")
    ]
    # The package is there before the functions are made of it.
    lines = ["event" if "event" in line else "upload" for line in told]
    assert lines == ["event", "event", "upload", "upload", "upload", "event"]
    assert (done.code, done.before) == (CODE, "")


def test_a_package_that_lacks_what_the_templates_name_is_refused(
    server: moto.Server, files: dict[str, Path], asked: Path, tmp_path: Path
) -> None:
    parameters = _parameters()
    assembly, package = _assembly(files, parameters, tmp_path / "assembly"), _package(tmp_path / "packages")
    (package.folder / "environment.tar.gz").unlink()
    with pytest.raises(DeployError, match=r"lacks what the templates name: environment\.tar\.gz"):
        Deployment(parameters, signed_in(moto.REGION), package, assembly)
    without = parameters.model_copy(update={"backfill": "none"})
    Deployment(without, signed_in(moto.REGION), package, assembly)


def test_what_would_lose_data_is_refused_unless_it_is_accepted(
    server: moto.Server, files: dict[str, Path], asked: Path, tmp_path: Path
) -> None:
    parameters = _parameters()
    server.client("cloudformation").create_stack(StackName=f"{parameters.name}-intake", TemplateBody=json.dumps(QUEUE))
    deployment = _deployment(files, parameters, tmp_path, [])
    assert [(one.what, one.name, one.lost) for one in deployment.plan.changes if one.stack == "intake"][-1] == (
        "taken away",
        "some-queue",
        True,
    )
    with pytest.raises(DeployError, match="some-queue"):
        deployment.apply()
    assert _asked(asked) == []
    server.client("s3").create_bucket(Bucket=deployment.account.names(parameters).bucket("code"))
    deployment.apply(accept_loss=True)
    assert len(_asked(asked)) == 3


def test_without_the_bucket_of_code_it_stops_before_the_functions(
    files: dict[str, Path], asked: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeployError, match=r"environment\.tar\.gz could not be put"):
        _deployment(files, _parameters(), tmp_path, []).apply()
    assert len(_asked(asked)) == 2


def test_what_the_cli_says_is_in_the_error(asked: Path, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"cdk deploy ended with 1:\na line of an event") as raised:
        Cdk(tmp_path, moto.REGION).deploy(["compute", "fail"])
    assert "goes on from there" in raised.value.advice


def _there(server: moto.Server, parameters: Parameters) -> dict[str, str]:
    """Two stacks, and buckets with two versions of an object in each."""
    stacks, s3 = server.client("cloudformation"), server.client("s3")
    stacks.create_stack(StackName=f"{parameters.name}-intake", TemplateBody=json.dumps(QUEUE))
    names = signed_in(moto.REGION).names(parameters)
    buckets = {kind: names.bucket(kind) for kind in BUCKETS}
    for bucket in buckets.values():
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for _ in range(2):
            s3.put_object(Bucket=bucket, Key="one", Body=b"1")
        s3.delete_object(Bucket=bucket, Key="one")
    server.client("glue").create_database(DatabaseInput={"Name": parameters.database})
    return {**buckets}


def test_a_deployment_goes_and_its_data_stays(
    server: moto.Server, asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = _parameters()
    buckets, file = _there(server, parameters), _file(parameters, tmp_path)
    assert call(["deploy", "destroy", "--parameters", file]) == 2, "nobody can answer here"
    assert call(["deploy", "destroy", "--parameters", file, "--with-data", "other", "--yes"]) == 2
    assert _asked(asked) == []
    capsys.readouterr()
    assert call(["deploy", "destroy", "--parameters", file, "--yes"]) == 0
    printed = capsys.readouterr().out
    (words,) = _asked(asked)
    assert words[:2] == ["destroy", f"{parameters.name}-intake"] and "--force" in words and "--role-arn" in words
    assert all(bucket in printed for bucket in buckets.values()) and "stays" in printed
    there = {one["Name"] for one in server.client("s3").list_buckets()["Buckets"]}
    assert set(buckets.values()) <= there


def test_what_stayed_is_taken_up_again_with_its_key_and_database(
    server: moto.Server, files: dict[str, Path], asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = _parameters()
    buckets, s3 = _there(server, parameters), server.client("s3")
    key = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    _encrypted([bucket for kind, bucket in buckets.items() if kind != "access"], s3, key)
    for folder in ("new", "again"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DeployError, match="was here before") as raised:
        _deployment(files, parameters, tmp_path / "new", [])
    assert f'existing_key = "{key}"' in raised.value.advice
    assert f'existing_database = "{parameters.database}"' in raised.value.advice
    assert _asked(asked) == []
    given = parameters.model_copy(update={"existing_key": key, "existing_database": parameters.database})
    without_catalog = {holds: file for holds, file in files.items() if holds != "catalog"}
    _deployment(without_catalog, given, tmp_path / "again", []).apply(accept_loss=True)
    words = {asking[1]: asking for asking in _asked(asked)}
    name = parameters.name
    assert list(words) == [f"{name}-{holds}" for holds in ("foundation", "intake", "storage", "compute")]
    takes = [stack for stack, asking in words.items() if "--import-existing-resources" in asking]
    assert takes == [f"{name}-storage"] and "change-set" in words[f"{name}-storage"]
    assert all("direct" in asking for stack, asking in words.items() if stack not in takes)
    # Without its alias, which went with the stack, the key is found by what it encrypts.
    file = _file(parameters, tmp_path)
    capsys.readouterr()
    assert call(["deploy", "destroy", "--parameters", file, "--dry-run"]) == 0
    assert key in capsys.readouterr().out


def test_another_key_is_refused_while_the_stacks_refer_to_their_own(
    server: moto.Server, templates: dict[str, dict[str, Any]]
) -> None:
    """CloudFormation would refuse it, for what the others import; which way works is said."""
    parameters, stacks, account = _parameters(), server.client("cloudformation"), signed_in(moto.REGION)
    own = {"Resources": {"Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}}}}}
    of_others = {kind: one for kind, one in templates["foundation"]["Resources"].items() if "KMS" not in one["Type"]}
    given = {**templates, "foundation": {**templates["foundation"], "Resources": of_others}}
    stacks.create_stack(StackName=f"{parameters.name}-foundation", TemplateBody=json.dumps(own))
    planned(parameters, given, account)  # nothing refers to it yet
    stacks.create_stack(StackName=f"{parameters.name}-intake", TemplateBody=json.dumps(QUEUE))
    planned(parameters, templates, account)
    with pytest.raises(DeployError, match="existing_key is set") as raised:
        planned(parameters, given, account)
    assert "`carlake deploy destroy` without --with-data" in raised.value.advice
    # As a given one it is in no stack, and another can be named.
    stacks.delete_stack(StackName=f"{parameters.name}-foundation")
    planned(parameters, given, account)


def test_with_data_every_version_goes_too(
    server: moto.Server, asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = _parameters()
    buckets, file = _there(server, parameters), _file(parameters, tmp_path)
    words = ["deploy", "destroy", "--parameters", file, "--with-data", parameters.name, "--yes", "--json"]
    assert call(words) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["removal"]["stays"] == [] and len(told["removal"]["goes"]) > len(buckets)
    there = {one["Name"] for one in server.client("s3").list_buckets()["Buckets"]}
    assert set(buckets.values()) & there == set()
    databases = [one["Name"] for one in server.client("glue").get_databases()["DatabaseList"]]
    assert parameters.database not in databases


def test_with_data_the_key_goes_though_it_was_broken_off(
    server: moto.Server,
    asked: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What names the key once its alias is gone are the buckets: they go after it."""
    parameters = _parameters()
    buckets, file, s3 = _there(server, parameters), _file(parameters, tmp_path), server.client("s3")
    key = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    _encrypted([bucket for kind, bucket in buckets.items() if kind != "access"], s3, key)
    words = ["deploy", "destroy", "--parameters", file, "--with-data", parameters.name, "--yes"]
    with (
        failing(server.endpoint, Fault("status", operations=("POST",), status=403)) as proxy,
        monkeypatch.context() as m,
    ):
        m.setenv("AWS_ENDPOINT_URL_KMS", proxy.endpoint)
        assert call(words) == 1
    error = capsys.readouterr().err
    assert key in error and "the same command goes on" in error
    assert _state(server, key) == "Enabled"
    with (
        failing(server.endpoint, Fault("status", operations=("DELETE",), status=403)) as proxy,
        monkeypatch.context() as m,
    ):
        m.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        assert call(words) == 1
    assert _state(server, key) == "PendingDeletion"
    assert call(words) == 0
    there = {one["Name"] for one in s3.list_buckets()["Buckets"]}
    assert set(buckets.values()) & there == set() and _state(server, key) == "PendingDeletion"


def _state(server: moto.Server, key: str) -> str:
    return str(server.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"])


def _encrypted(buckets: Iterable[str], s3: Any, key: str) -> None:
    encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    for bucket in buckets:
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [encryption]})


def test_what_cannot_be_seen_is_not_taken_for_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    words = ["deploy", "destroy", "--parameters", _file(_parameters(), tmp_path), "--dry-run"]
    assert call(words) == 1
    assert "could not be seen" in capsys.readouterr().err


def test_a_key_that_cannot_be_seen_is_not_taken_for_none(
    server: moto.Server, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a new one would be made, and what the old one encrypted could not be read."""
    parameters = _parameters()
    buckets = _there(server, parameters)
    with failing(server.endpoint, Fault("status", operations=("GET",), status=403)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        with pytest.raises(DeployError, match=r"With what key .* could not be seen") as raised:
            _deployment(files, parameters, tmp_path, [])
    assert any(bucket in str(raised.value) for bucket in buckets.values())


def test_an_application_that_is_changed_is_stopped_before_and_never_under_a_job(
    server: moto.Server, files: dict[str, Path], asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever kind the parameters choose now: another choice removes it."""
    parameters = _parameters()
    number = emr.application(server, parameters)
    with emr.running(server, monkeypatch) as runs:
        deployment = _deployment(files, parameters, tmp_path, [])
        server.client("s3").create_bucket(Bucket=deployment.account.names(parameters).bucket("code"))
        with pytest.raises(DeployError, match=emr.RUN) as raised:
            deployment.apply(accept_loss=True)
        assert number in raised.value.advice and _asked(asked) == [] and emr.state_of(server, number) == "STARTED"
        runs.clear()
        deployment.apply(accept_loss=True)
    assert emr.state_of(server, number) == "STOPPED" and len(_asked(asked)) == 3


def test_an_application_that_goes_is_stopped_before(
    server: moto.Server,
    asked: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameters = _parameters()
    number = emr.application(server, parameters)
    words = ["deploy", "destroy", "--parameters", _file(parameters, tmp_path), "--yes"]
    with emr.running(server, monkeypatch) as runs:
        assert call(words) == 1
        assert emr.RUN in capsys.readouterr().err and _asked(asked) == []
        runs.clear()
        assert call(words) == 0
    assert emr.state_of(server, number) == "STOPPED" and len(_asked(asked)) == 1


def test_nothing_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["deploy", "destroy", "--parameters", _file(_parameters(), tmp_path), "--yes"]) == 1
    assert "Nothing of" in capsys.readouterr().err


def test_the_cli_itself_makes_and_removes_a_stack(
    server: moto.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto's CloudFormation refuses these stacks, so a small one shows that the words are the CLI's own."""
    from aws_cdk import App, CfnParameter, LegacyStackSynthesizer, Stack, aws_sqs

    monkeypatch.setenv(VARIABLE, str(cdk.provide()))
    app = App(outdir=str(tmp_path / "assembly"), analytics_reporting=False)
    stack = Stack(app, "small-one", synthesizer=LegacyStackSynthesizer())
    name = CfnParameter(stack, "QueueName")
    aws_sqs.CfnQueue(stack, "Queue", queue_name=name.value_as_string)
    app.synth()
    told = list[str]()
    cli = Cdk(tmp_path / "assembly", moto.REGION, told.append)
    role = "arn:aws:iam::123456789012:role/small"
    cli.deploy(["small-one"], role=role, given={"small-one:QueueName": "small-queue"})
    (made,) = server.client("cloudformation").describe_stacks(StackName="small-one")["Stacks"]
    assert made["RoleARN"] == role and made["StackStatus"] == "CREATE_COMPLETE"
    assert server.client("sqs").get_queue_url(QueueName="small-queue")["QueueUrl"]
    cli.destroy(["small-one"], role=role)
    assert signed_in(moto.REGION).stack("small-one") is None and told
