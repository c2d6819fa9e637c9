"""What matters in the templates, whoever changes the constructs: encryption, TLS, who may send, what is kept, who is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.names import BUCKETS, STACKS, Names
from carlake_aws.parameters import Parameters
from carlake_aws.questions import FRESH
from carlake_aws.questions import questions as named_queries
from carlake_aws.templates import findings, publish, resources, synthesize

from aws.conftest import Template
from aws.filled import fill

LARGEST = 51_200
"""Bytes of a template that CloudFormation takes without a bucket to put it in."""


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = resources(template, kind).values()
    properties: dict[str, Any] = found["Properties"]
    return properties


def test_every_stack_is_there_and_fits_into_a_call(files: dict[str, Path]) -> None:
    assert [file.name for file in files.values()] == [
        f"carlake-prod-{holds}.template.json"
        for holds in ("foundation", "intake", "storage", "catalog", "compute", "query", "operations")
    ]
    assert {name: file.stat().st_size for name, file in files.items() if file.stat().st_size > LARGEST} == {}


def test_nothing_is_asked_of_the_account(templates: dict[str, Template]) -> None:
    parameters = {holds: sorted(template.get("Parameters", {})) for holds, template in templates.items()}
    assert {holds: names for holds, names in parameters.items() if names} == {"compute": ["CodeHash", "CodeVersion"]}
    assert "cdk-bootstrap" not in json.dumps(templates) and "cdk-hnb659fds" not in json.dumps(templates)
    kinds = {found["Type"] for template in templates.values() for found in template["Resources"].values()}
    assert not {kind for kind in kinds if kind.startswith(("Custom::", "AWS::CloudFormation::"))}


def test_the_linter_finds_nothing(files: dict[str, Path]) -> None:
    from cfnlint.api import ManualArgs, lint_file

    problems = [
        match for file in files.values() for match in lint_file(file, ManualArgs(regions=["eu-west-1", "us-east-1"]))
    ]
    assert [str(problem) for problem in problems] == []


def test_the_rules_find_nothing_but_what_is_acknowledged_with_a_reason(files: dict[str, Path]) -> None:
    folder = next(iter(files.values())).parent
    assert findings(folder) == []
    acknowledged = {
        construct: entry["data"]
        for file in folder.glob("*.metadata.json")
        for construct, entries in json.loads(file.read_text(encoding="utf-8")).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
    }
    rules = {rule.partition("[")[0].rpartition("::")[2] for found in acknowledged.values() for rule in found}
    assert rules == {"AwsSolutions-S1", "AwsSolutions-L1", "AwsSolutions-IAM5"}
    assert {reason for found in acknowledged.values() for reason in found.values() if len(reason) < 10} == set()


@pytest.mark.parametrize("kind", sorted(BUCKETS))
def test_every_bucket_is_versioned_encrypted_closed_and_by_tls(
    kind: str, templates: dict[str, Template], names: Names
) -> None:
    storage = templates["storage"]
    buckets = {
        fill(found["Properties"]["BucketName"], names): (logical, found)
        for logical, found in resources(storage, "AWS::S3::Bucket").items()
    }
    logical, found = buckets[f"carlake-prod-{kind}-123456789012-eu-west-1"]
    bucket = found["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    encryption = rule["ServerSideEncryptionByDefault"]
    if kind == "access":  # S3 writes access logs to no bucket with another's key
        assert encryption == {"SSEAlgorithm": "AES256"}
    else:
        assert encryption["SSEAlgorithm"] == "aws:kms" and rule["BucketKeyEnabled"] is True
        assert fill(encryption["KMSMasterKeyID"], names) == names.key_arn
        assert bucket["LoggingConfiguration"]["LogFilePrefix"] == f"{kind}/"
    # What a stack that could not be made leaves behind would stand in the way of the next try.
    assert (found["DeletionPolicy"], found["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    (lifecycle,) = bucket["LifecycleConfiguration"]["Rules"]
    assert lifecycle["Status"] == "Enabled" and "NoncurrentVersionExpiration" in lifecycle
    assert bucket["LifecycleConfiguration"].get("TransitionDefaultMinimumObjectSize") == (
        "all_storage_classes_128K" if "Transitions" in lifecycle else None
    ), "a small object costs more where it is cold"
    assert ("ExpirationInDays" in lifecycle) == (kind in ("results", "logs", "access")), (
        "events and tables are never deleted by age"
    )
    refused = [
        statement["Condition"]
        for policy in resources(storage, "AWS::S3::BucketPolicy").values()
        if policy["Properties"]["Bucket"] == {"Ref": logical}
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Principal"] == {"AWS": "*"} and statement["Action"] == "s3:*"
    ]
    assert {"Bool": {"aws:SecureTransport": "false"}} in refused
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in refused


def test_only_the_landing_bucket_of_this_account_may_send(templates: dict[str, Template], names: Names) -> None:
    found = resources(templates["intake"], "AWS::SQS::QueuePolicy").values()
    statements = [one for policy in found for one in policy["Properties"]["PolicyDocument"]["Statement"]]
    (allowed,) = [one for one in statements if one["Effect"] == "Allow"]
    assert allowed["Action"] == "sqs:SendMessage" and allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert fill(allowed["Condition"], names) == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnEquals": {"aws:SourceArn": "arn:aws:s3:::carlake-prod-landing-123456789012-eu-west-1"},
    }
    assert len([one for one in statements if one["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}]) == 2
    landing = next(
        bucket["Properties"]
        for bucket in resources(templates["storage"], "AWS::S3::Bucket").values()
        if "NotificationConfiguration" in bucket["Properties"]
    )
    assert fill(landing["NotificationConfiguration"], names) == {
        "QueueConfigurations": [
            {
                "Event": "s3:ObjectCreated:*",
                "Queue": "arn:aws:sqs:eu-west-1:123456789012:carlake-prod-landed",
                "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "in/"}]}},
            }
        ]
    }


def test_messages_wait_go_back_and_end_as_dead_letters(templates: dict[str, Template], names: Names) -> None:
    intake = templates["intake"]
    queues = {
        found["Properties"]["QueueName"]: found["Properties"] for found in resources(intake, "AWS::SQS::Queue").values()
    }
    landed, dead = queues["carlake-prod-landed"], queues["carlake-prod-landed-dead"]
    assert {queue["MessageRetentionPeriod"] for queue in queues.values()} == {14 * 86_400}
    assert {fill(queue["KmsMasterKeyId"], names) for queue in queues.values()} == {names.key_arn}
    redrive = fill(landed["RedrivePolicy"], names, intake["Resources"])
    assert redrive == {"deadLetterTargetArn": names.arn("sqs", "carlake-prod-landed-dead"), "maxReceiveCount": 50}
    assert fill(dead["RedriveAllowPolicy"], names) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [names.arn("sqs", "carlake-prod-landed")],
    }
    mapping = only(templates["compute"], "AWS::Lambda::EventSourceMapping")
    function = resources(templates["compute"], "AWS::Lambda::Function")[mapping["FunctionName"]["Ref"]]["Properties"]
    assert fill(mapping["EventSourceArn"], names) == names.arn("sqs", "carlake-prod-landed")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": function["ReservedConcurrentExecutions"]}
    # What AWS advises ("Using Lambda with Amazon SQS"): six times the function's limit, and the batching window.
    assert landed["VisibilityTimeout"] == 6 * function["Timeout"] + mapping["MaximumBatchingWindowInSeconds"]


def test_the_key_turns_and_outlives_its_stack(templates: dict[str, Template], names: Names) -> None:
    (key,) = resources(templates["foundation"], "AWS::KMS::Key").values()
    assert key["Properties"]["EnableKeyRotation"] is True and key["DeletionPolicy"] == "RetainExceptOnCreate"
    for statement in key["Properties"]["KeyPolicy"]["Statement"]:
        if "Service" in statement["Principal"]:
            assert {"ArnEquals", "ArnLike"} & set(statement["Condition"]), statement["Sid"]


def test_functions_say_which_code_they_run_and_hold_no_more_than_their_role(templates: dict[str, Template]) -> None:
    functions = resources(templates["compute"], "AWS::Lambda::Function").values()
    assert sorted(found["Properties"]["Handler"] for found in functions) == [
        "carlake.aws.handler.intake",
        "carlake.aws.handler.maintenance",
    ]
    for found in functions:
        function = found["Properties"]
        assert {"Ref": "CodeHash"} in function["Code"]["S3Key"]["Fn::Join"][1]
        assert {"Ref": "CodeHash"} in function["Description"]["Fn::Join"][1]
        assert function["Environment"]["Variables"]["CARLAKE_CODE"] == {"Ref": "CodeHash"}
        assert function["TracingConfig"] == {"Mode": "Active"}
    assert resources(templates["compute"], "AWS::IAM::Policy") == {}
    assert all(
        "ManagedPolicyArns" not in role["Properties"]
        for role in resources(templates["compute"], "AWS::IAM::Role").values()
    )


def test_logs_end_and_are_encrypted(templates: dict[str, Template], names: Names) -> None:
    groups = [found["Properties"] for found in resources(templates["compute"], "AWS::Logs::LogGroup").values()]
    # Glue 5 makes the names of a job's groups of a prefix, its encryption and its role; it would make them without an end.
    spark = "/carlake-prod/backfill/carlake-prod-backfill-role/carlake-prod-backfill-eu-west-1"
    assert sorted(fill(group["LogGroupName"], names) for group in groups) == [
        f"{spark}/error",
        f"{spark}/output",
        "/carlake-prod/intake",
        "/carlake-prod/maintenance",
    ]
    assert {group["RetentionInDays"] for group in groups} == {30}
    assert {fill(group["KmsKeyId"], names) for group in groups} == {names.key_arn}


def test_somebody_is_told_of_everything(templates: dict[str, Template]) -> None:
    operations = templates["operations"]
    alarms = {
        found["Properties"]["AlarmName"].removeprefix("carlake-prod-"): found["Properties"]
        for found in resources(operations, "AWS::CloudWatch::Alarm").values()
    }
    assert sorted(alarms) == sorted(
        [
            "oldest-message",
            "dead-letters",
            "quarantine",
            "failed-runs",
            "open-circuits",
            "tables-not-done",
            "errors-intake",
            "errors-maintenance",
            "throttles-maintenance",
            "no-calls-maintenance",
            *(f"late-{table}" for table in FRESH),
        ]
    )
    (topic,) = resources(operations, "AWS::SNS::Topic")
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
        assert alarm["AlarmDescription"]
    assert alarms["dead-letters"]["Threshold"] == 0 and alarms["oldest-message"]["Threshold"] == 900
    silent = alarms["no-calls-maintenance"]
    assert (silent["MetricName"], silent["Statistic"], silent["Period"]) == ("Invocations", "Sum", 45 * 60)
    assert (silent["ComparisonOperator"], silent["Threshold"]) == ("LessThanThreshold", 1)
    assert silent["TreatMissingData"] == "breaching", "a function that nobody calls has no metric"
    undone = alarms["tables-not-done"]
    (measured,) = (one["MetricStat"] for one in undone["Metrics"])
    assert (measured["Stat"], measured["Period"], undone["EvaluationPeriods"]) == ("Minimum", 15 * 60, 2), (
        "one passing failure rings nothing"
    )
    assert undone["TreatMissingData"] == "ignore" and undone["Threshold"] == 0
    assert "KmsMasterKeyId" in only(operations, "AWS::SNS::Topic")
    dashboard = only(operations, "AWS::CloudWatch::Dashboard")["DashboardName"]
    assert dashboard == {"Fn::Join": ["", ["carlake-prod-", {"Ref": "AWS::Region"}]]}, "dashboards have no region"


def test_what_happens_by_the_clock(templates: dict[str, Template]) -> None:
    schedules = [
        found["Properties"] for found in resources(templates["operations"], "AWS::Scheduler::Schedule").values()
    ]
    assert {(json.loads(found["Target"]["Input"])["duty"], found["ScheduleExpression"]) for found in schedules} == {
        ("list", "rate(15 minutes)"),
        ("maintain", "rate(30 minutes)"),
        ("refresh", "cron(1 0 * * ? *)"),
    }
    assert {found["ScheduleExpressionTimezone"] for found in schedules} == {"UTC"}


def test_queries_have_a_limit_and_their_results_a_key(templates: dict[str, Template], names: Names) -> None:
    group = only(templates["query"], "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert group["EnforceWorkGroupConfiguration"] is True
    assert group["BytesScannedCutoffPerQuery"] == 10 * 2**30
    encryption = group["ResultConfiguration"]["EncryptionConfiguration"]
    assert fill(encryption, names) == {"EncryptionOption": "SSE_KMS", "KmsKey": names.key_arn}
    questions = [found["Properties"] for found in resources(templates["query"], "AWS::Athena::NamedQuery").values()]
    assert sorted(question["Name"] for question in questions) == sorted(
        [f"count_{table}" for table in FRESH] + ["status_of_the_fleet", "alerts_by_type"]
    )
    # What these come to is seen on Trino, the engine that Athena is: tests/readers/test_questions.py.
    assert {question["Name"]: question["QueryString"] for question in questions} == {
        question.name: question.sql for question in named_queries()
    }
    assert {(question["Database"], question["WorkGroup"]) for question in questions} == {
        ("carlake_prod", "carlake-prod")
    }


def test_tables_are_declared_nowhere(templates: dict[str, Template]) -> None:
    database = only(templates["catalog"], "AWS::Glue::Database")
    assert database["DatabaseInput"]["Name"] == "carlake_prod"
    assert all(resources(template, "AWS::Glue::Table") == {} for template in templates.values())


def test_no_secret_is_in_a_template(files: dict[str, Path], tmp_path: Path) -> None:
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    detectors = ("AWSKeyDetector", "PrivateKeyDetector", "KeywordDetector", "BasicAuthDetector", "JwtTokenDetector")
    planted = tmp_path / "planted.json"
    planted.write_text(f'{{"Environment": {{"aws_access_key_id": "AKIA{"Q" * 16}"}}}}', encoding="utf-8")
    with transient_settings({"plugins_used": [{"name": name} for name in detectors]}):
        assert list(scan_file(str(planted)))
        assert [str(found) for file in files.values() for found in scan_file(str(file))] == []


def test_what_exists_already_is_used_and_not_made(tmp_path: Path, names: Names) -> None:
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"
    parameters = Parameters(
        existing_key=names.key_arn,
        existing_database="fleet",
        existing_landing_bucket="events-of-ours",
        landing_prefix="raw/cars",
        pseudonym_secret=secret,
        backfill="emr-serverless",
        readers=("arn:aws:iam::123456789012:role/analysts",),
        alarm_emails=("fleet@example.com",),
    )
    made = {
        holds: json.loads(file.read_text(encoding="utf-8"))
        for holds, file in synthesize(parameters, tmp_path, checked=False).items()
    }
    assert resources(made["foundation"], "AWS::KMS::Key") == {}
    assert "catalog" not in made, "CloudFormation takes no stack without a resource"
    assert len(resources(made["storage"], "AWS::S3::Bucket")) == len(BUCKETS) - 1
    assert "events-of-ours" in json.dumps(made["intake"])
    functions = [one["Properties"] for one in resources(made["compute"], "AWS::Lambda::Function").values()]
    assert {one["Environment"]["Variables"]["CARLAKE_LANDING"] for one in functions} == {"s3://events-of-ours/raw/cars"}
    assert {one["Environment"]["Variables"]["PSEUDONYM_SECRET_ARN"] for one in functions} == {secret}
    assert resources(made["compute"], "AWS::Glue::Job") == {}
    assert only(made["compute"], "AWS::EMRServerless::Application")["MaximumCapacity"] == {
        "Cpu": "40 vCPU",
        "Memory": "160 GB",
    }
    (role,) = resources(made["query"], "AWS::IAM::Role").values()
    assert role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": parameters.readers[0]}
    assert only(made["operations"], "AWS::SNS::Subscription")["Endpoint"] == "fleet@example.com"
    assert not re.search(r"carlake_prod", json.dumps(made))


def test_terraform_reads_no_template_that_is_not_written(tmp_path: Path) -> None:
    """With an existing database there is no stack `catalog`; what follows it is made after storage all the same."""
    text = (Path(__file__).parents[2] / "deploy/aws/terraform/main.tf").read_text(encoding="utf-8")
    stacks = dict(re.findall(r'(?ms)^resource "aws_cloudformation_stack" "(\w+)" \{\n(.*?)^\}', text))
    assert list(stacks) == list(STACKS)
    written = {file.name for file in publish(Parameters(existing_database="cars"), tmp_path)}
    read = {holds: re.findall(r'file\("\$\{var.templates\}/([^"]+)"\)', block) for holds, block in stacks.items()}
    missing = {holds: name for holds, (name,) in read.items() if name not in written}
    assert missing == {"catalog": "4-catalog.template.json"}
    for holds, block in stacks.items():
        guard = f'fileexists("${{var.templates}}/{read[holds][0]}") ? 1 : 0'
        assert (guard in block) == (holds in missing), holds
    after = [re.search(r"depends_on\s*= \[(.*)\]", block) for block in stacks.values()]
    for found in after:
        assert not found or any(f"stack.{holds}" in found[1] for holds in stacks if holds not in missing), found
