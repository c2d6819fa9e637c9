"""What is needed besides to take objects out of a landing bucket that was there before and keeps no versions."""

from __future__ import annotations

from carlake_aws.names import TRIAL, Names
from carlake_aws.statements import TAKEN_BELOW, TRIALS_ALONE, Statement


def without_versions(names: Names) -> tuple[Statement, ...]:
    """For a bucket of others alone: it may keep no versions, or have kept none when an object came."""
    if not names.parameters.existing_landing_bucket:
        return ()
    why = "The deployment's own buckets keep versions; one that was there before may not."
    return (
        Statement(
            "TakeWithoutVersions",
            ("s3:DeleteObject",),
            (names.objects_arn("landing", names.landing),),
            "Where a bucket keeps no versions, an object is deleted on condition that it is the one that was read.",
            wildcard=TAKEN_BELOW,
            unused={"s3:DeleteObject": why},
        ),
        Statement(
            "TryConditions",
            ("s3:PutObject",),
            (names.objects_arn("landing", f"{names.landing}*{TRIAL}"),),
            "Whether the store looks at that condition is tried once with an object made for it, beside the others.",
            wildcard=TRIALS_ALONE,
            unused={"s3:PutObject": why},
        ),
    )
