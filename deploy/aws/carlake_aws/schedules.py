"""Schedules: what has to happen though no event comes. Each calls the maintenance function, with its duty."""

from __future__ import annotations

import json

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from carlake_aws.duties import schedule_statements
from carlake_aws.names import Names
from carlake_aws.roles import role


def timetable(names: Names) -> dict[str, tuple[str, str]]:
    """Each duty with when it is due, and what for."""
    own = names.parameters
    return {
        "list": (
            f"rate({own.listing_minutes} minutes)",
            "Landing is listed: what no event told of is landed, and archived",
        ),
        "maintain": (
            f"rate({own.maintenance_minutes} minutes)",
            "Small files are merged, snapshots expired, orphans removed",
        ),
        "refresh": ("cron(1 0 * * ? *)", "A new day, UTC: insurance expires though no event comes"),
    }


class Schedules(Construct):
    """One group, one role that may call one function."""

    def __init__(self, scope: Construct, names: Names, function: functions.IFunction) -> None:
        super().__init__(scope, "Schedules")
        statements = schedule_statements(names)
        # Only schedules of this group may take the role on.
        principal = iam.ServicePrincipal(
            "scheduler.amazonaws.com",
            conditions={
                "StringEquals": {
                    "aws:SourceAccount": names.account,
                    "aws:SourceArn": names.arn("scheduler", f"schedule-group/{names.parameters.name}"),
                }
            },
        )
        made = role(self, names, "schedules", principal, statements, "Schedules call the maintenance function with it")
        group = scheduler.CfnScheduleGroup(self, "Group", name=names.parameters.name)
        for duty, (when, why) in timetable(names).items():
            scheduler.CfnSchedule(
                self,
                duty.capitalize(),
                name=names.name(duty),
                group_name=group.ref,
                description=why,
                schedule_expression=when,
                schedule_expression_timezone="UTC",
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=function.function_arn,
                    role_arn=made.role_arn,
                    input=json.dumps({"duty": duty}),
                    retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=600, maximum_retry_attempts=3
                    ),
                ),
            )
