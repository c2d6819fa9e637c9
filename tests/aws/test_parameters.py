"""A file of parameters: what is wrong in it is said by every command that reads it, before anything else is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from carlake_aws import forms
from carlake_aws.parameters import Parameters, ParametersError, read
from carlake_aws.templates import main

from aws.own import settings_file
from carlake.cli.app import call

SECRET = "arn:aws:secretsmanager:{}:123456789012:secret:key{}"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('regoin = "eu-west-1"', "regoin: there is no such parameter. Did you mean region?"),
        ("banana = 1", "banana: there is no such parameter."),
        ('alarm_emails = "me@example.com"', 'alarm_emails: it must be a list, such as ["one", "two"].'),
        (
            'alarm_emails = ["not an address"]',
            "alarm_emails: 'not an address' is no e-mail address, such as me@example.com.",
        ),
        ("alarm_emails = [1]", "alarm_emails: it has 1, and must be text, in quotes."),
        (
            'region = "eu-wst-1"',
            "region: boto3 knows no region eu-wst-1. Did you mean eu-west-1? If it is newer than boto3 is here: "
            "pip install --upgrade boto3.",
        ),
        ('region = "Ireland"', "region: it is no region, such as eu-west-1."),
        (
            f'pseudonym_secret = "{SECRET.format("us-east-1", "-AbCdEf")}"',
            "pseudonym_secret: it is in us-east-1, and the deployment in eu-west-1: name one there, or set the parameter "
            "region to us-east-1.",
        ),
        (
            f'existing_key = "{KEY}"',
            "existing_key: it is in us-east-1, and the deployment in eu-west-1: name one there, or set the parameter "
            "region to us-east-1.",
        ),
        (
            f'pseudonym_secret = "{SECRET.format("eu-west-1", "")}"',
            "pseudonym_secret: it is no ARN of a secret with its suffix (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX); "
            "AWS made the SUFFIX of six characters, and `aws secretsmanager describe-secret --secret-id NAME --query ARN` "
            "shows it.",
        ),
        (
            'function_memory_mb = "3008"',
            'function_memory_mb: it is "3008", and must be a whole number from 1,024 to 10,240, without quotes.',
        ),
        ("function_memory_mb = 100", "function_memory_mb: it is 100, and must be a whole number from 1,024 to 10,240."),
        ("freshness_seconds = 1", "freshness_seconds: it is 1, and must be a whole number of at least 60."),
        ("quarantine_percent = 0", "quarantine_percent: it is 0, and must be a number above 0 and of at most 100."),
        ("python = 3.13", 'python: it is 3.13, and must be one of "3.11", "3.12", "3.13".'),
        (
            'prefix = "averyverylongname"',
            'prefix: it is "averyverylongname", and must be a text of at most 12 characters.',
        ),
        (
            'prefix = "abcdefghijkl"\nenvironment = "abcdefgh"',
            "prefix and environment are longer than 19 characters together: names of buckets end at 63.",
        ),
        ("settings = 1", "settings: it has 1, and must be text, in quotes."),
    ],
)
def test_a_wrong_line_says_what_would_be_right(line: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "parameters.toml"
    file.write_text(line)
    with pytest.raises(ParametersError) as caught:
        read(file)
    assert str(caught.value) == f"{file}: {told}"


def test_every_wrong_line_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "parameters.toml"
    file.write_text("concurrency = 1\nbatch_seconds = 0\n")
    with pytest.raises(ParametersError) as caught:
        read(file)
    assert len(str(caught.value).splitlines()) == 2


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "parameters.toml"
    secret = SECRET.format("us-east-1", "-AbCdEf")
    file.write_text(
        f'region = "us-east-1"\nexisting_key = "{KEY}"\npseudonym_secret = "{secret}"\nquarantine_percent = 5\n'
        'alarm_emails = ["me@example.com", "o\'hara+cars@mail.example.co.uk"]\nsettings = "../lake/carlake.toml"\n'
    )
    own = read(file)
    assert (own.region, own.pseudonym_secret, own.quarantine_percent) == ("us-east-1", secret, 5.0)
    assert own.settings_file == tmp_path.parent / "lake" / "carlake.toml"


def test_every_region_of_botocore_is_one_and_without_it_the_form_alone_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [region for region in forms.regions() if not region.endswith("-global")]
    assert {"eu-west-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1"} <= set(known)
    assert [Parameters(region=region).region for region in known] == known
    monkeypatch.setattr(forms.importlib.util, "find_spec", lambda name: None)
    assert Parameters(region="eu-wst-1").region == "eu-wst-1"


WRONG_FILES = [
    (None, "carlake.toml is not there, and the parameter settings names it."),
    ("banana = 1\n", "carlake.toml:1: there is no setting 'banana'."),
    ('rules = ["../../rules.yaml"]\n', "{parent}/rules.yaml does not exist."),
    ('landing = "s3://elsewhere/in"\n', "sets 'landing', which the deployment sets itself."),
]


@pytest.mark.parametrize("command", ["plan", "costs", "package", "apply --dry-run", "check", "environment"])
@pytest.mark.parametrize(("text", "told"), WRONG_FILES)
def test_a_mistake_in_the_settings_file_is_said_by_every_command(
    text: str | None, told: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = settings_file(tmp_path / "deploy" / "mine")
    file.write_text(text) if text else file.unlink()
    parameters = tmp_path / "deploy" / "parameters.toml"
    parameters.write_text('settings = "../deploy/mine/carlake.toml"\n')
    assert call(["deploy", *command.split(), "--parameters", str(parameters)]) == 1
    said = capsys.readouterr()
    assert told.format(parent=tmp_path) in said.err and "/../" not in said.err
    assert said.out == ""


def test_what_is_to_go_needs_no_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    parameters = tmp_path / "parameters.toml"
    parameters.write_text('settings = "nope.toml"\n')
    assert call(["deploy", "destroy", "--parameters", str(parameters)]) == 1
    assert "There are no credentials of AWS" in capsys.readouterr().err


def test_templates_are_not_written_by_a_wrong_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parameters = tmp_path / "parameters.toml"
    parameters.write_text('settings = "nope.toml"\n')
    assert main([str(tmp_path / "out"), str(parameters)]) == 1
    assert f"{tmp_path}/nope.toml is not there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
