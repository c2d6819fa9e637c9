"""The CDK CLI, as `carlake deploy` would fetch it."""

from __future__ import annotations

from pathlib import Path

from servers.provide import once


def provide() -> Path:
    """The script that Node runs."""
    from carlake_aws.cdk import VERSION, install

    return once(f"cdk-{VERSION}", install) / "node_modules" / "aws-cdk" / "bin" / "cdk"
