"""The settings of a lake in an account: where everything lies, for functions, jobs, and whoever looks from outside."""

from __future__ import annotations

from carlake_aws.names import Names


def settings(names: Names) -> dict[str, str]:
    """What every process that works on the lake has to know, as variables."""
    return {
        "CARLAKE_LAKE": names.uri("warehouse", "lake"),
        "CARLAKE_NAMESPACE": names.parameters.database,
        "CARLAKE_CATALOG": "glue",
        "CARLAKE_LANDING": names.uri("landing", names.landing),
        "CARLAKE_ARCHIVE": names.uri("archive"),
    }
