"""Each part of a deployment, looked at with the credentials of whoever asks: what is there, or what is wrong and what to do."""

from __future__ import annotations

import json

from carlake_aws.account import Account
from carlake_aws.backfilling import code_of_backfill
from carlake_aws.duties import BACKFILL, INTAKE, MAINTENANCE
from carlake_aws.errors import WrongError
from carlake_aws.names import BUCKETS, Names
from carlake_aws.parameters import Parameters


class Parts:
    """The parts of one deployment. Each method says what it found; it raises WrongError, and botocore's errors.

    queue_url, dead_url  the queues, once they were looked at
    dead_before          how many dead letters there were then
    code                 the hash of the functions' code, once they were looked at
    """

    def __init__(self, account: Account, names: Names, parameters: Parameters) -> None:
        self._account, self._names, self._parameters = account, names, parameters
        self.queue_url = self.dead_url = self.code = ""
        self.dead_before = 0

    def key(self) -> str:
        """The key that everything is encrypted with can be used."""
        asked = self._parameters.existing_key or f"alias/{self._parameters.name}"
        found = self._account.client("kms").describe_key(KeyId=asked)["KeyMetadata"]
        if found["KeyState"] != "Enabled":
            raise WrongError(
                f"The key {found['Arn']} is {found['KeyState']}.", "Enable it: nothing can be read without."
            )
        return str(found["Arn"])

    def buckets(self) -> str:
        """Every bucket is there."""
        s3 = self._account.client("s3")
        for kind in BUCKETS:
            s3.head_bucket(Bucket=self._names.bucket(kind))
        return f"{len(BUCKETS)}: {', '.join(BUCKETS)}"

    def notification(self) -> str:
        """Landing tells the queue of what lands."""
        bucket, queue = self._names.bucket("landing"), self._names.arn("sqs", self._names.queue)
        landing = self._names.landing
        found = self._account.client("s3").get_bucket_notification_configuration(Bucket=bucket)
        for one in found.get("QueueConfigurations", ()):
            rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
            prefixes = [rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"]
            told = one["QueueArn"] == queue and any(event.startswith("s3:ObjectCreated:") for event in one["Events"])
            if told and all(landing.startswith(prefix) for prefix in prefixes):
                return f"{bucket} tells {self._names.queue} of what lands below {landing}"
        raise WrongError(
            f"{bucket} does not tell {self._names.queue} of objects that land below {landing}.",
            "`carlake deploy apply` sets it. For a bucket that was there before: events s3:ObjectCreated:*, prefix "
            f"{landing}, to {queue}, by hand.",
        )

    def queue(self) -> str:
        """The queues are there, and what always fails leaves the first for the second."""
        sqs = self._account.client("sqs")
        self.queue_url = sqs.get_queue_url(QueueName=self._names.queue)["QueueUrl"]
        self.dead_url = sqs.get_queue_url(QueueName=self._names.dead_letters)["QueueUrl"]
        given = sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["All"])["Attributes"]
        redrive = json.loads(given.get("RedrivePolicy", "{}"))
        if redrive.get("deadLetterTargetArn") != self._names.arn("sqs", self._names.dead_letters):
            raise WrongError(
                f"{self._names.queue} has no dead-letter queue {self._names.dead_letters}: a message that always fails "
                "would go round for ever.",
                "`carlake deploy apply` sets it.",
            )
        self.dead_before = self.count(self.dead_url)
        waiting = self.count(self.queue_url)
        return f"{waiting} waiting, {self.dead_before} dead" + (
            ": see the runbook, dead letters" if self.dead_before else ""
        )

    def functions(self) -> str:
        """Both functions are there and run one code."""
        codes = {}
        for duty in (INTAKE, MAINTENANCE):
            name = self._names.name(duty)
            found = self._account.client("lambda").get_function_configuration(FunctionName=name)
            if found.get("State", "Active") not in ("Active", "Inactive") or found.get("LastUpdateStatus") == "Failed":
                why = found.get("StateReason") or found.get("LastUpdateStatusReason") or "AWS does not say why"
                raise WrongError(f"{name} is {found.get('State')}: {why}.", "`carlake deploy apply` makes it again.")
            codes[duty] = found.get("Environment", {}).get("Variables", {}).get("CARLAKE_CODE", "")
        if len(set(codes.values())) != 1:
            raise WrongError(f"The functions run different code: {codes}.", "`carlake deploy apply` makes them one.")
        self.code = codes[INTAKE]
        return f"both run code {self.code}"

    def backfill(self) -> str:
        """The job or application of backfills is there and runs the functions' code."""
        name = self._names.name(BACKFILL)
        code = code_of_backfill(self._account, self._names)
        if code is None:
            raise WrongError(f"{name} is not there.", "`carlake deploy apply` makes it.")
        if code != self.code:
            raise WrongError(
                f"{name} runs code {code or 'of no name'}, the functions run {self.code}.",
                "`carlake deploy apply` makes them one.",
            )
        return f"{name} ({self._parameters.backfill}) runs code {code}; it is not started, since that costs"

    def link(self) -> str:
        """The queue calls the function."""
        name = self._names.name(INTAKE)
        found = self._account.client("lambda").list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        own = [one for one in found if one["EventSourceArn"] == self._names.arn("sqs", self._names.queue)]
        if not own or own[0].get("State", "Enabled") not in ("Enabled", "Enabling", "Updating"):
            state = own[0].get("State") if own else "not there"
            raise WrongError(
                f"The link from {self._names.queue} to {name} is {state}: nothing calls the function.",
                f"Enable it: aws lambda update-event-source-mapping --uuid {own[0]['UUID']} --enabled"
                if own
                else "`carlake deploy apply` makes it.",
            )
        return f"{self._names.queue} calls {name}"

    def schedules(self) -> str:
        """The schedules are on."""
        group = self._parameters.name
        found = self._account.client("scheduler").list_schedules(GroupName=group)["Schedules"]
        states = {one["Name"]: one["State"] for one in found}
        wanted = [self._names.name(what) for what in ("list", "maintain", "refresh")]
        if missing := [name for name in wanted if states.get(name) != "ENABLED"]:
            raise WrongError(
                f"Schedules that do not run: {', '.join(missing)}.", "`carlake deploy apply` makes and enables them."
            )
        return ", ".join(wanted)

    def workgroup(self) -> str:
        """Athena's workgroup is on."""
        found = self._account.client("athena").get_work_group(WorkGroup=self._parameters.name)["WorkGroup"]
        if found.get("State", "ENABLED") != "ENABLED":
            raise WrongError(f"The workgroup {self._parameters.name} is {found['State']}.", "Enable it.")
        return f"{self._parameters.name}, results in {self._names.uri('results')}"

    def count(self, url: str) -> int:
        """How many messages a queue has, those in hand too, about."""
        return sum(self.counts(url))

    def counts(self, url: str) -> tuple[int, int]:
        """How many messages of a queue wait, and how many are in hand, about."""
        if not url:
            return 0, 0
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])
