"""How AWS's clients find a server that speaks AWS's APIs."""

from __future__ import annotations

REGION, ACCESS = "us-east-1", "test-access"


def environment(endpoint: str, secret: str) -> dict[str, str]:
    """The variables by which the usual clients find a server, and the user by which it knows them."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
