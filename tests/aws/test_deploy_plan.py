"""`carlake deploy plan`: what is made, what changes, what is lost, and what it costs."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.account import signed_in
from carlake_aws.applied import write_names
from carlake_aws.build import version_of, without_python
from carlake_aws.changes import Change, compared
from carlake_aws.contents import WORDS, contents
from carlake_aws.costs import backfills, calls_per_day, costs
from carlake_aws.errors import DeployError, NotReachedError
from carlake_aws.parameters import Parameters
from carlake_aws.planned import Plan, planned
from carlake_aws.prices import SHIPPED, read
from carlake_aws.templates import resources

from aws.conftest import Template
from carlake.cli.app import call
from carlake.cli.deploy_screens import show_plan
from carlake.cli.invocation import Invocation, Shared

FACTS = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1", "AWS::Partition": "aws"}


def _changed(templates: dict[str, Template], stack: str, kind: str, **properties: Any) -> dict[str, Template]:
    """The templates with other properties in the first resource of a kind."""
    other = copy.deepcopy(templates)
    next(iter(resources(other[stack], kind).values()))["Properties"].update(properties)
    return other


def test_what_is_made_is_told_in_words(templates: dict[str, Template]) -> None:
    kinds = {found["Type"] for template in templates.values() for found in template["Resources"].values()}
    assert kinds <= set(WORDS), "each kind has a name that people know"
    storage = contents("storage", "carlake-prod-storage", templates["storage"], FACTS)
    assert storage.counts["AWS::S3::Bucket"] == 7 and storage.resources == len(templates["storage"]["Resources"])
    assert "carlake-prod-landing-123456789012-eu-west-1" in storage.names["AWS::S3::Bucket"]
    unknown = contents("storage", "carlake-prod-storage", templates["storage"], {})
    assert "carlake-prod-landing-ACCOUNT-REGION" in unknown.names["AWS::S3::Bucket"]


def test_next_to_nothing_all_is_made_and_next_to_itself_nothing_differs(templates: dict[str, Template]) -> None:
    made = compared(templates, {}, FACTS)
    assert {one.what for one in made} == {"made"}
    assert len(made) == sum(len(template["Resources"]) for template in templates.values())
    assert compared(templates, templates, FACTS) == []


@pytest.mark.parametrize(
    ("stack", "kind", "properties", "what", "lost"),
    [
        ("compute", "AWS::Lambda::Function", {"MemorySize": 1024}, "changed", False),
        ("compute", "AWS::Lambda::Function", {"FunctionName": "other"}, "made anew", False),
        ("storage", "AWS::S3::Bucket", {"BucketName": "other"}, "made anew", True),
        ("storage", "AWS::S3::Bucket", {"VersioningConfiguration": {"Status": "Suspended"}}, "changed", False),
        ("intake", "AWS::SQS::Queue", {"QueueName": "other"}, "made anew", True),
        ("intake", "AWS::SQS::Queue", {"VisibilityTimeout": 1}, "changed", False),
        ("catalog", "AWS::Glue::Database", {"DatabaseInput": {"Name": "other"}}, "made anew", True),
        ("operations", "AWS::CloudWatch::Alarm", {"AlarmName": "other"}, "made anew", False),
    ],
)
def test_what_cannot_be_changed_in_place_is_made_anew_and_what_holds_data_is_lost_by_it(
    stack: str, kind: str, properties: dict[str, Any], what: str, lost: bool, templates: dict[str, Template]
) -> None:
    (found,) = compared(_changed(templates, stack, kind, **properties), templates, FACTS)
    assert (found.stack, found.kind, found.what, found.lost) == (stack, kind, what, lost)
    assert set(found.properties) <= set(properties)


def test_what_is_taken_away_is_lost_unless_it_is_retained(templates: dict[str, Template]) -> None:
    without = {holds: template for holds, template in templates.items() if holds not in ("storage", "intake")}
    found = {(one.kind, one.lost, one.left) for one in compared(without, templates, FACTS) if one.what == "taken away"}
    assert ("AWS::S3::Bucket", False, True) in found and ("AWS::SQS::Queue", True, False) in found
    assert ("AWS::S3::Bucket", True, False) not in found


def test_another_key_than_before_is_a_loss(templates: dict[str, Template]) -> None:
    """Of a deployment that took up a key: the next one without `existing_key` would read nothing that is there."""
    before = copy.deepcopy(templates)
    foundation = before["foundation"]["Resources"]
    for name in resources(before["foundation"], "AWS::KMS::Key"):
        del foundation[name]
    lost = [(one.what, one.kind) for one in compared(templates, before, FACTS) if one.lost]
    assert lost == [("made", "AWS::KMS::Key")]


def test_names_of_buckets_are_written_out_for_what_takes_up_a_bucket_by_its_name(
    templates: dict[str, Template], files: dict[str, Path], tmp_path: Path
) -> None:
    file = Path(shutil.copy(files["storage"], tmp_path))
    write_names(file, FACTS)
    written = json.loads(file.read_text(encoding="utf-8"))
    names = [one["Properties"]["BucketName"] for one in resources(written, "AWS::S3::Bucket").values()]
    assert len(names) == 7 and "carlake-prod-landing-123456789012-eu-west-1" in names
    # Another way to write the same name is no change.
    assert compared({**templates, "storage": written}, templates, FACTS) == []
    assert compared(templates, {**templates, "storage": written}, FACTS) == []


def test_the_cli_is_told_of_no_role_that_a_bootstrap_would_have_made(files: dict[str, Path]) -> None:
    manifest = (next(iter(files.values())).parent / "manifest.json").read_text(encoding="utf-8")
    assert "carlake-prod-compute" in manifest
    assert [word for word in ("assumeRoleArn", "cloudFormationExecutionRoleArn", "hnb659fds") if word in manifest] == []


def test_alone_the_plan_says_so(templates: dict[str, Template]) -> None:
    plan = planned(Parameters(), templates, None, "nobody is signed in")
    assert plan.alone == "nobody is signed in" and plan.compared_with == "" and plan.losses == ()
    assert all(isinstance(one, Change) and one.what == "made" for one in plan.changes)


def test_the_bill_is_the_sum_of_items_that_say_how_and_from_which_page() -> None:
    found = costs(Parameters(), 100_000, read())
    assert found.lake.usd == pytest.approx(sum(item.usd for item in found.lake.items)) and found.lake.usd > 0
    assert found.lake.per_million == pytest.approx(found.lake.usd / 3)
    assert {item.what for item in (*found.lake.items, *found.replaced.items) if not (item.how and item.page)} == set()
    # Six crawlers of two DPU bill ten minutes each: 2 DPU-hours a run, 24 runs a day, 30 days, at 0.44.
    (crawlers,) = (item for item in found.replaced.items if item.what == "crawlers")
    assert crawlers.usd == pytest.approx(2 * 24 * 30 * 0.44)
    # The same work costs less for each event the more there are.
    many = costs(Parameters(), 10_000_000, read())
    assert many.lake.per_million < found.lake.per_million and many.lake.usd > found.lake.usd


def test_a_batch_gathers_what_comes_within_its_window() -> None:
    own = Parameters()
    assert calls_per_day(86_400, own) == pytest.approx(43_200), "one object a second: each call has two"
    assert calls_per_day(10, own) == pytest.approx(10, rel=0.01), "what comes alone is called for alone"
    slow = Parameters(batch_seconds=60)
    assert calls_per_day(864_000_000, slow) == pytest.approx(8_640_000), "a batch has 100 at most"


def test_both_services_bill_the_same_backfill_by_their_own_prices() -> None:
    both = backfills(365.0, read(), 10)
    glue, emr = both["glue"].usd, both["emr-serverless"].usd
    hours = glue / 0.44
    assert emr == pytest.approx(hours * (4 * 0.052624 + 16 * 0.0057785)) and emr < glue


def test_the_decision_has_the_figures_of_the_file() -> None:
    page = (Path(__file__).parents[2] / "docs/decisions/0029-glue-or-emr.md").read_text(encoding="utf-8")
    for label, million in (("1 million", 1.0), ("365 million", 365.0), ("10,000 million", 10_000.0)):
        both = backfills(million, read(), 10)
        glue, emr = both["glue"].usd, both["emr-serverless"].usd
        (row,) = (line for line in page.splitlines() if line.startswith(f"| {label}"))
        assert row.endswith(f"| {glue:,.2f} | {emr:,.2f} | {glue - emr:,.2f} |")
    prices = read().prices
    hour = 4 * prices["emr_vcpu_hour"].usd + 16 * prices["emr_gb_hour"].usd
    assert (
        f"| {hour:.3f} |" in page
        and f"cheaper by {1 - hour / prices['glue_dpu_hour'].usd:.0%}".replace("%", " %") in page
    )


def test_what_is_counted_is_what_the_templates_have(templates: dict[str, Template]) -> None:
    assert read().lake["alarms"] == len(resources(templates["operations"], "AWS::CloudWatch::Alarm"))


def test_a_file_of_prices_is_whole(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    shutil.copyfile(SHIPPED, own)
    assert read(own) == read()
    own.write_text(own.read_text().replace("athena_tb", "athena_gb"))
    with pytest.raises(DeployError, match=r"prices\.athena_tb"):
        read(own)
    own.write_text("region = 1\n")
    with pytest.raises(DeployError, match="no file of prices"):
        read(own)
    with pytest.raises(DeployError, match="cannot be read"):
        read(tmp_path / "none.toml")


def test_the_command_tells_it_as_one_document_without_an_account(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call(["deploy", "plan", "--events-per-day", "1000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["python"] == {"version": "3.13", "here": sys.version_info[:2] == (3, 13)}
    assert told["compared_with"] is None and len(told["stacks"]) == 7
    assert told["costs"]["events_per_day"] == 1000 and told["costs"]["prices"]["date"]
    assert told["costs"]["replaced"]["usd_a_month"] > told["costs"]["lake"]["usd_a_month"]


@pytest.fixture
def only_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    """A path with no other interpreter: a version that is missing then, and the sentence about it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    mine = version_of(None)
    missing = next(version for version in ("3.13", "3.12") if version != mine)
    return missing, (
        f"The functions are to run Python {missing}, and this machine has none to compile their code with. "
        f'Install Python {missing}, or set the parameter python to "{mine}", which is here.'
    )


def test_a_machine_that_lacks_the_functions_python_is_told_the_same_by_plan_and_package(
    only_this_python: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing, sentence = only_this_python
    plan = Plan("carlake-prod", "eu-west-1", "", "There are no credentials of AWS.", "", (), (), None)
    show_plan(Invocation(Shared()), plan, without_python(missing))
    told = " ".join(capsys.readouterr().out.split())
    assert "carlake-prod in eu-west-1 a plan: it changes nothing" in told and f"apply would stop: {sentence}" in told
    parameters = tmp_path / "parameters.toml"
    parameters.write_text(f'python = "{missing}"\n')
    assert call(["deploy", "package", str(tmp_path / "packages"), "--parameters", str(parameters)]) == 1
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_prices_of_another_region_are_said_to_be_its(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.toml"
    for region, told in (("eu-west-1", True), ("us-east-1", False)):
        parameters.write_text(f'region = "{region}"\n')
        assert call(["deploy", "costs", "--parameters", str(parameters)]) == 0
        assert ("These prices are us-east-1's, not eu-west-1's." in capsys.readouterr().out) is told


def _without_an_account(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JSII_"))}
    none = dict.fromkeys(("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"), str(folder / "none"))
    return kept | none | {"AWS_EC2_METADATA_DISABLED": "true", "PATH": str(folder)}


def test_no_node_of_the_machine_is_used(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho an old one >&2\nexit 1\n")
    node.chmod(0o755)
    told = "import sys\nfrom carlake.cli.app import call\nsys.exit(call(['deploy', 'apply', '--dry-run']))"
    done = subprocess.run(
        [sys.executable, "-c", told], env=_without_an_account(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "There are no credentials of AWS" in done.stderr
    assert "an old one" not in done.stderr and "Traceback" not in done.stderr


def test_without_any_node_it_says_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("JSII_NODE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("carlake_aws.node.program", lambda: None)
    assert call(["deploy", "plan"]) == 1
    told = capsys.readouterr().err
    assert "Node is not there" in told and ".[deploy]" in told


def test_no_way_to_aws_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "some")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(NotReachedError, match="AWS was not reached") as caught:
        signed_in("eu-west-1")
    assert "credentials" in caught.value.advice
