"""Which code a deployment runs: its name has the hash of its content, so that no other can ever stand in for it."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import CfnParameter
from constructs import Construct

from carlake_aws.names import PACKAGES


@dataclass(frozen=True)
class Package:
    """Version and hash (16 hexadecimal digits) of a package that was built, or what a template asks for instead."""

    version: str
    code: str

    @classmethod
    def asked_for(cls, scope: Construct) -> Package:
        """A template that anybody may deploy asks which package is to run; `carlake deploy` fills it in."""
        version = CfnParameter(
            scope,
            "CodeVersion",
            description="Version of carlake of the package, as in its name",
            allowed_pattern=r"[0-9A-Za-z.+-]+",
        )
        code = CfnParameter(
            scope,
            "CodeHash",
            description="Hash of the package's content, as in its name: carlake-VERSION-HASH",
            allowed_pattern=r"[0-9a-f]{16}",
        )
        return cls(version.value_as_string, code.value_as_string)

    def key(self, what: str) -> str:
        """The key of one of the package's files in the bucket of code, such as `function.zip`."""
        return f"{PACKAGES}/carlake-{self.version}-{self.code}/{what}"
