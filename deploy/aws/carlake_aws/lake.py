"""A deployment as a whole: every stack, in order, in one app."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from carlake_aws.catalog import Catalog
from carlake_aws.compute import Compute
from carlake_aws.foundation import Foundation
from carlake_aws.intake import Intake
from carlake_aws.operations import Operations
from carlake_aws.parameters import Parameters
from carlake_aws.query import Query
from carlake_aws.stack import LakeStack
from carlake_aws.storage import Storage

# A template says the same wherever it was made.
_CONTEXT = {
    "aws:cdk:disable-asset-staging": True,
    "aws:cdk:disable-stack-trace": True,
    "@aws-cdk/core:disableCreationStackTrace": True,
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/core:validateAgainstDefaultRules": True,
    # What one stack exports and another imports cannot be taken away under it.
    "@aws-cdk/core:defaultCrossStackReferences": "strong",
}


def app(parameters: Parameters, folder: Path | None = None, *, checked: bool = True) -> App:
    """The app, ready for `synth`. `checked`: the rules of AwsSolutions are asked, and a finding fails it."""
    made = App(outdir=str(folder) if folder else None, analytics_reporting=False, context=_CONTEXT)
    stacks(made, parameters)
    if checked:
        Validations.of(made).add_plugins(AwsSolutionsChecks(made))
    return made


def stacks(scope: Construct, parameters: Parameters) -> list[LakeStack]:
    """Every stack, each after those that it refers to."""
    foundation = Foundation(scope, parameters)
    names, key = foundation.names, foundation.key
    intake = Intake(scope, names, key)
    storage = Storage(scope, names, key)
    # A stack without a resource is none.
    catalog = [] if parameters.existing_database else [Catalog(scope, names)]
    compute = Compute(scope, names, key, intake.queue, storage.buckets["code"])
    query = Query(scope, names)
    operations = Operations(scope, names, key, intake.queue, intake.dead_letters, compute.intake, compute.maintenance)
    made: list[LakeStack] = [foundation, intake, storage, *catalog, compute, query, operations]
    for before, after in pairwise(made):
        after.add_stack_dependency(before, "they are made one after the other")
    return made
