"""Operations: who is told when something is wrong, what is looked at, and what happens by the clock."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from carlake_aws.compute import METRICS
from carlake_aws.duties import OPERATE, statements
from carlake_aws.names import Names
from carlake_aws.questions import FRESH
from carlake_aws.roles import role
from carlake_aws.schedules import Schedules
from carlake_aws.stack import LakeStack

_MINUTES = Duration.minutes(5)
_TRAFFIC = cloudwatch.TreatMissingData.NOT_BREACHING
_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD


class Operations(LakeStack):
    """Every alarm tells the one topic, both when it begins and when it is over."""

    def __init__(
        self,
        scope: Construct,
        names: Names,
        key: kms.IKey,
        queue: sqs.IQueue,
        dead_letters: sqs.IQueue,
        intake: functions.IFunction,
        maintenance: functions.IFunction,
    ) -> None:
        super().__init__(scope, "operations", names.parameters, "carlake: alarms, their topic, a dashboard, schedules")
        self._names = names
        self.topic = self._topic(key)
        own = names.parameters
        self.alarms: list[cloudwatch.Alarm] = []
        oldest = queue.metric_approximate_age_of_oldest_message(period=_MINUTES, statistic="Maximum")
        dead = dead_letters.metric_approximate_number_of_messages_visible(period=_MINUTES, statistic="Maximum")
        self._alarm(
            "oldest-message", oldest, own.freshness_seconds, "Messages wait: is the function failing, or throttled?"
        )
        self._alarm("dead-letters", dead, 0, "Messages failed again and again; see the runbook, dead letters")
        for table in FRESH:
            late = self._metric("LatenessSeconds", "Maximum", table=table)
            self._alarm(f"late-{table}", late, own.freshness_seconds, f"{table} is behind what has landed")
        records, refused = self._metric("Records", "Sum"), self._metric("RecordsQuarantined", "Sum")
        share = cloudwatch.MathExpression(
            expression="IF(records > 0, 100 * refused / records, 0)",
            using_metrics={"records": records, "refused": refused},
            period=_MINUTES,
            label="quarantined, %",
        )
        self._alarm(
            "quarantine", share, own.quarantine_percent, "Many records are refused: has a feed changed its shape?"
        )
        failed = self._metric("RunsFailed", "Sum")
        self._alarm("failed-runs", failed, 0, "A run failed; see its id in the logs")
        circuits = self._metric("OpenCircuits", "Maximum")
        self._alarm("open-circuits", circuits, 0, "A table keeps failing; its last good snapshot is served")
        # The least of each interval: where any run found all tables done, what another saw was passing. Every listing runs,
        # so each interval says something; two in a row are two tries that failed, minutes apart. The state of one circuit's
        # sandbox is of no account here: a call that begins anew reports its own steps.
        undone = self._metric("TablesNotDone", "Minimum", period=Duration.minutes(own.listing_minutes))
        why = "In no run of two intervals of the listing were all tables done; the log of the run names them"
        self._alarm("tables-not-done", undone, 0, why, periods=2, missing=cloudwatch.TreatMissingData.IGNORE)
        for function in (intake, maintenance):
            what = "intake" if function is intake else "maintenance"
            errors = function.metric_errors(period=_MINUTES, statistic="Sum")
            throttles = function.metric_throttles(period=_MINUTES, statistic="Sum")
            self._alarm(f"errors-{what}", errors, 0, "A call broke off: its time or its memory, or its code")
            if function is maintenance:
                self._alarm(f"throttles-{what}", throttles, 0, "Schedules find the function busy")
        # Three listings and whatever else is due: who is not called at all fails at nothing, and tells of nothing.
        calls = maintenance.metric_invocations(period=Duration.minutes(3 * own.listing_minutes), statistic="Sum")
        self._alarm(
            "no-calls-maintenance",
            calls,
            1,
            "Schedules do not call the function: are they on, and may they?",
            missing=cloudwatch.TreatMissingData.BREACHING,
            when=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        )
        self._dashboard(
            [("waiting", [oldest]), ("dead letters", [dead])],
            [("late", [self._metric("LatenessSeconds", "Maximum", table=table) for table in FRESH])],
            [("records", [records, refused]), ("quarantined", [share])],
            [
                ("failed", [failed, circuits, undone]),
                ("duration", [f.metric_duration() for f in (intake, maintenance)]),
            ],
        )
        Schedules(self, names, maintenance)
        people: list[iam.IPrincipal] = [iam.ArnPrincipal(arn) for arn in own.operators]
        role(
            self,
            names,
            OPERATE,
            iam.CompositePrincipal(*people) if people else iam.AccountRootPrincipal(),
            statements(OPERATE, names),
            "People check the deployment and recover the lake with it",
        )

    def _topic(self, key: kms.IKey) -> sns.Topic:
        names = self._names
        topic = sns.Topic(
            self,
            "Topic",
            topic_name=names.name("alarms"),
            master_key=key,
            enforce_ssl=True,
            display_name=names.name("alarms"),
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsTell",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": names.account},
                    "ArnLike": {"aws:SourceArn": names.arn("cloudwatch", f"alarm:{names.parameters.name}-*")},
                },
            )
        )
        for address in names.parameters.alarm_emails:
            topic.add_subscription(subscriptions.EmailSubscription(address))
        return topic

    def _metric(self, name: str, statistic: str, *, table: str = "", period: Duration = _MINUTES) -> cloudwatch.Metric:
        dimensions = {"service": self._names.parameters.name} | ({"table": table} if table else {})
        return cloudwatch.Metric(
            namespace=METRICS,
            metric_name=name,
            dimensions_map=dimensions,
            statistic=statistic,
            period=period,
            label=table or name,
        )

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        limit: float,
        why: str,
        *,
        periods: int = 1,
        missing: cloudwatch.TreatMissingData = _TRAFFIC,
        when: cloudwatch.ComparisonOperator = _ABOVE,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in name.replace("_", "-").split("-")),
            alarm_name=self._names.name(name),
            alarm_description=why,
            metric=metric,
            threshold=limit,
            comparison_operator=when,
            evaluation_periods=periods,
            treat_missing_data=missing,
        )
        tells = actions.SnsAction(self.topic)
        alarm.add_alarm_action(tells)
        alarm.add_ok_action(tells)
        self.alarms.append(alarm)

    def _dashboard(self, *rows: list[tuple[str, list[cloudwatch.IMetric]]]) -> None:
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self._names.dashboard,
            widgets=[
                [cloudwatch.GraphWidget(title=title, left=metrics, width=24 // len(row)) for title, metrics in row]
                for row in rows
            ],
        )
