"""The key that personal data is landed under, from AWS Secrets Manager: no package, template or variable holds it."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from carlake.errors import SettingsError

VARIABLE = "PSEUDONYM_SECRET_ARN"
"""Names the secret to a function; a job has the argument `--pseudonym-secret`."""


@cache
def key_file(arn: str) -> Path:
    """A file with the secret's text (64 hexadecimal digits or more), which this process's user alone can read.

    It is fetched once in the life of a process. Raises SettingsError where it cannot be had.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        # Its own region's: a secret is where its ARN says.
        told = boto3.client("secretsmanager", region_name=arn.split(":")[3]).get_secret_value(SecretId=arn)
    except (BotoCoreError, ClientError) as error:
        raise SettingsError(
            f"The key of pseudonyms cannot be read from the secret {arn}: {error}.",
            "The role needs secretsmanager:GetSecretValue there, and kms:Decrypt where the secret has a key of its own.",
        ) from None
    if not told.get("SecretString"):
        raise SettingsError(
            f"The secret {arn} holds no text.",
            "Store the key as text: 64 hexadecimal digits, as `openssl rand -hex 32` makes.",
        )
    file = Path(tempfile.mkdtemp(prefix="carlake-key-")) / "pseudonym.key"  # a folder that only its owner may enter
    file.write_text(str(told["SecretString"]), encoding="utf-8")
    return file
