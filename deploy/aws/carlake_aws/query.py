"""Query: Athena's workgroup with a limit, its encrypted results, the role to ask with, and the first questions."""

from __future__ import annotations

from aws_cdk import aws_athena as athena
from aws_cdk import aws_iam as iam
from constructs import Construct

from carlake_aws.duties import QUERY, statements
from carlake_aws.names import Names
from carlake_aws.questions import questions
from carlake_aws.roles import role
from carlake_aws.stack import LakeStack


class Query(LakeStack):
    """The role may be taken on by the `readers`, or by whom the account's own policies let."""

    def __init__(self, scope: Construct, names: Names) -> None:
        super().__init__(
            scope, "query", names.parameters, "carlake: Athena's workgroup, named queries, the role to ask with"
        )
        own = names.parameters
        readers: list[iam.IPrincipal] = [iam.ArnPrincipal(arn) for arn in own.readers]
        principal = iam.CompositePrincipal(*readers) if readers else iam.AccountRootPrincipal()
        role(
            self,
            names,
            QUERY,
            principal,
            statements(QUERY, names),
            "Reads the tables by Athena, and writes only results",
        )
        group = athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=own.name,
            description=f"Queries of {own.name}",
            recursive_delete_option=True,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=own.scan_limit_mb * 2**20,
                engine_version=athena.CfnWorkGroup.EngineVersionProperty(
                    selected_engine_version="Athena engine version 3"
                ),
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"{names.uri('results')}/",
                    expected_bucket_owner=names.account,
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=names.key_arn
                    ),
                ),
            ),
        )
        for question in questions():
            athena.CfnNamedQuery(
                self,
                question.name.title().replace("_", ""),
                name=question.name,
                description=question.description,
                database=own.database,
                work_group=own.name,
                query_string=question.sql,
            ).add_resource_dependency(group)
