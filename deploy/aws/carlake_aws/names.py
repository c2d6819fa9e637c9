"""Names and ARNs of everything that is made, from the parameters alone.

Names are known before anything exists, so that a queue's policy can name the bucket that will send to it. Partition,
account and region are given: CloudFormation's own pseudo-parameters in a template, real ones in a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from carlake_aws.parameters import Parameters

Kind = Literal["landing", "archive", "warehouse", "results", "logs", "access", "code"]

BUCKETS: dict[Kind, str] = {
    "landing": "what arrived and is not archived yet",
    "archive": "what arrived, once its rows are committed",
    "warehouse": "the tables' data and metadata",
    "results": "results of queries by Athena",
    "logs": "event logs of Spark",
    "access": "who asked for what in the other buckets",
    "code": "packages of functions and jobs, named by their content",
}
"""Every bucket, and what it holds."""

STACKS = ("foundation", "intake", "storage", "catalog", "compute", "query", "operations")
"""All stacks, in the order in which they are made. What one refers to stands before it."""

RECEIVES = 50
"""A message that was received so often without success is a dead letter.

So many because the queue counts a message's receive whatever it was given back for: a lake that takes nothing in, or no time
left beside larger objects. How long that lasts goes by the waits between them (`carlake.aws.handler.wait`): minutes where the
message cannot be understood, hours where what it names cannot be read, half a day where the lake is at fault.
"""

PACKAGES = "packages"
"""Each package that was built lies below this in the bucket of code."""


CANARY = "CARLAKE-CHECK-"
"""The cars of checks begin so, and no other: their objects may be deleted from the archive."""


TRIAL = ".carlake-try-"
"""The objects begin so that carlake puts into a store to see what it may do there, and takes away again."""


@dataclass(frozen=True)
class Names:
    """The names of one deployment.

    key_arn  the key that all data is encrypted with
    """

    parameters: Parameters
    partition: str
    account: str
    region: str
    key_arn: str

    def name(self, what: str) -> str:
        """`PREFIX-ENVIRONMENT-WHAT`."""
        return f"{self.parameters.name}-{what}"

    def bucket(self, kind: Kind) -> str:
        """A bucket's name: with account and region, for names of buckets are the whole world's."""
        if kind == "landing" and self.parameters.existing_landing_bucket:
            return self.parameters.existing_landing_bucket
        return f"{self.name(kind)}-{self.account}-{self.region}"

    def bucket_arn(self, kind: Kind) -> str:
        """A bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.bucket(kind)}"

    def objects_arn(self, kind: Kind, prefix: str = "") -> str:
        """The ARN of all objects of a bucket, or of those below a prefix."""
        return f"{self.bucket_arn(kind)}/{prefix}*"

    def uri(self, kind: Kind, prefix: str = "") -> str:
        """`s3://BUCKET/PREFIX`."""
        return f"s3://{self.bucket(kind)}/{prefix}".rstrip("/")

    @property
    def landing(self) -> str:
        """Events arrive below this in the landing bucket, `PREFIX/`: what else lies in an existing one is no event."""
        return f"{self.parameters.landing_prefix}/"

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role_arn(self, duty: str) -> str:
        """The role of a duty; roles have no region, and their names carry it."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role(duty)}"

    def role(self, duty: str) -> str:
        """The name of the role of a duty."""
        return f"{self.name(duty)}-{self.region}"

    @property
    def dashboard(self) -> str:
        """The dashboard; dashboards have no region, and its name carries it."""
        return f"{self.parameters.name}-{self.region}"

    @property
    def queue(self) -> str:
        """The queue of what landed."""
        return self.name("landed")

    @property
    def dead_letters(self) -> str:
        """The queue of messages that failed again and again."""
        return self.name("landed-dead")

    def log_group(self, what: str) -> str:
        """The log group of a function or a job."""
        return f"/{self.parameters.name}/{what}"

    def log_groups_of_spark(self) -> list[str]:
        """Where a backfill writes. Glue 5 puts the names of its encryption and its role between the prefix and the rest."""
        own = self.log_group("backfill")
        if self.parameters.backfill == "glue":
            return [
                f"{own}/{self.name('backfill')}-role/{self.role('backfill')}/{rest}" for rest in ("output", "error")
            ]
        return [own] if self.parameters.backfill == "emr-serverless" else []

    @property
    def catalog_arns(self) -> list[str]:
        """Catalog, database and tables: Glue checks all three for anything that is done with a table."""
        database = self.parameters.database
        return [
            self.arn("glue", "catalog"),
            self.arn("glue", f"database/{database}"),
            self.arn("glue", f"table/{database}/*"),
        ]
