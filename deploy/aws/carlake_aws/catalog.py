"""Catalog: the database of the Glue catalog. The tables in it are carlake's own to make, and are declared nowhere else."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_glue as glue
from constructs import Construct

from carlake_aws.names import Names
from carlake_aws.stack import LakeStack


class Catalog(LakeStack):
    """Made where no existing database is used."""

    def __init__(self, scope: Construct, names: Names) -> None:
        super().__init__(scope, "catalog", names.parameters, "carlake: the database of the tables in the Glue catalog")
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=names.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=names.parameters.database,
                description=f"Tables of {names.parameters.name}. carlake makes and changes them; nothing else should.",
                location_uri=names.uri("warehouse"),
            ),
        )
        database.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
