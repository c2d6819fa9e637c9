"""The settings of a lake in an account: where everything lies, for functions, jobs, and whoever looks from outside."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Environment:
    """By which variables carlake works on the lake from a person's own machine, as the functions do.

    variables  an empty one takes back what another deployment's said
    key_file   where the key of pseudonyms is, or is to be put; None where personal data is landed in clear
    fetch      the command that puts it there, which needs leave to read the secret; "" without a key
    """

    variables: dict[str, str]
    key_file: Path | None
    fetch: str

    @classmethod
    def of(cls, names: Names, key_file: Path) -> Environment:
        """Of a deployment in an account."""
        own = names.parameters
        file = key_file.absolute() if own.pseudonym_secret else None
        variables = {
            "AWS_REGION": names.region,
            **settings(names),
            "CARLAKE_SETTINGS": str(own.settings_file or ""),
            "CARLAKE_PSEUDONYM_KEY_FILE": str(file or ""),
        }
        return cls(variables, file, _fetch(own.pseudonym_secret, names.region, file) if file else "")

    def exports(self) -> list[str]:
        """A line of a shell for each variable."""
        return [f"export {name}={_quoted(value)}" for name, value in self.variables.items()]


def _fetch(secret: str, region: str, file: Path) -> str:
    """A command that writes a secret into a file of its owner's alone, and no file where it may not read it."""
    asked = ("--region", region, "--secret-id", secret, "--query", "SecretString", "--output", "text")
    command = shlex.join(["aws", "secretsmanager", "get-secret-value", *asked])
    return f"(umask 077 && key=$({command}) && printf '%s\\n' \"$key\" > {shlex.quote(str(file))})"


def _quoted(value: str) -> str:
    """A word of a shell, in quotes whether it needs them or not."""
    return "'" + value.replace("'", "'\\''") + "'"
