"""What a catalog's error means: in a person's words, with what to do, and for a commit whether it was refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    BadRequestError,
    CommitFailedException,
    ForbiddenError,
    NotInstalledError,
    OAuthError,
    RESTError,
    UnauthorizedError,
    ValidationException,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from carlake.words import to_install

Meaning = tuple[str, str]
"""What happened, and what to do."""

EXTRAS = {"psycopg": "postgres", "boto": "aws", "glue": "aws", "dynamodb": "aws"}
"""carlake's extra that brings what such a name is in."""

_DENIED = re.compile(r"permission denied for (?P<what>\w+) (?P<name>\S+)")
_USER = re.compile(r'FATAL:\s+password authentication failed for user "(?P<user>[^"]*)"')
_DATABASE = re.compile(r'FATAL:\s+database "(?P<name>[^"]*)" does not exist')
_SILENT = re.compile(
    r"connection refused|timeout expired|timed out|failed to resolve|name or service not known|no route to host"
    r"|network is unreachable|could not connect|connection reset|closed the connection|remote end closed"
    r"|max retries exceeded|not yet accepting|starting up|shutting down|recovery mode",
    re.I,
)
_MOVED = re.compile(r"sequence number", re.I)
_PASSWORD_IN_URI = re.compile(r"(?<=://)(?P<user>[^/@\s:]*):[^@\s]*@")

_SQL, _REST, _GLUE = "the catalog's database", "the REST catalog", "AWS Glue"


def outcome(error: Exception) -> Literal["moved", "denied", "unknown"]:
    """What became of a commit that ended with this error.

    moved    the table is not what the commit asserts: it was refused
    denied   the catalog does not take it from this user, or in this form: it did not land and never will
    unknown  it may have landed, or may land yet
    """
    if isinstance(error, (CommitFailedException, ValidationException)):
        return "moved"
    if isinstance(error, (BadRequestError, ValueError)) and _MOVED.search(str(error)):
        return "moved"  # a branch took the sequence number that was staged
    if isinstance(error, BadRequestError):
        return "denied"
    if isinstance(error, (UnauthorizedError, ForbiddenError, AuthorizationExpiredError, OAuthError)):
        return "denied"
    if isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", "")) == "42501":
        return "denied"
    if _code(error) in ("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"):
        return "denied"
    return "unknown"


def meaning(error: Exception) -> Meaning | None:
    """What an error of a catalog says to a person; None where it is not known to be a catalog's."""
    if isinstance(error, (NotInstalledError, ModuleNotFoundError)):
        return _not_installed(error)
    if isinstance(error, SQLAlchemyError):
        if of_a_file(error):
            return None
        return _of_a_database(str(getattr(error, "orig", None) or error), str(_state(error)))
    if isinstance(error, RESTError):
        return _of_rest(error)
    package = type(error).__module__.partition(".")[0]
    if package == "requests":
        return _of_requests(error)
    if package == "botocore":
        return _of_aws(error)
    return None


def of_a_file(error: Exception) -> bool:
    """Whether it is of the database of a catalog that is a file, and no server's."""
    return isinstance(error, SQLAlchemyError) and type(getattr(error, "orig", None)).__module__.startswith("sqlite3")


def without(text: str, secrets: Iterable[str]) -> str:
    """A text without any of these secrets, nor a password in an address."""
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _PASSWORD_IN_URI.sub(r"\g<user>:***@", text)


def _not_installed(error: Exception) -> Meaning:
    missing = (getattr(error, "name", None) or str(error)).lower()
    extra = next((extra for sign, extra in EXTRAS.items() if sign in missing), None)
    return str(error), f"Install it, {to_install(extra)}" if extra else str(error)


def _of_a_database(text: str, state: str) -> Meaning:
    line = " ".join(text.split("\nLINE")[0].split())
    if found := _USER.search(text):
        return (
            f"{_SQL} refused the password of user {found['user']!r}",
            "Give the right one in the address (environment variable CARLAKE_CATALOG_URI), or by PGPASSWORD or ~/.pgpass.",
        )
    if "no password supplied" in text:
        return (
            f"{_SQL} wants a password and was given none",
            "Give it in the address (environment variable CARLAKE_CATALOG_URI), or by PGPASSWORD or ~/.pgpass.",
        )
    if found := _DATABASE.search(text):
        return (
            f"the server has no database {found['name']!r}",
            f"Name the right one in catalog_uri, or make it: CREATE DATABASE {found['name']};",
        )
    if found := _DENIED.search(text):
        return (
            f"its user may not use {found['what']} {found['name']}",
            f"Let an owner grant it (GRANT USAGE, CREATE ON SCHEMA {found['name']} TO ...;)"
            if found["what"] == "schema"
            else f"Let an owner grant it (GRANT SELECT, INSERT, UPDATE, DELETE ON {found['name']} TO ...;)",
        )
    if "SSL" in text and ("require" in text or "does not support" in text or "certificate" in text):
        return f"no connection by TLS: {line}", "Set sslmode (and sslrootcert) in catalog_uri as the server wants it."
    if _SILENT.search(text) or state.startswith("08"):
        return f"{_SQL} cannot be reached: {line}", "Check that the server runs, and host and port in catalog_uri."
    if state == "57014":
        return f"{_SQL} took too long: {line}", "Run the command again; if it stays so, look at what locks its tables."
    return line, ""


def _of_rest(error: RESTError) -> Meaning:
    text = " ".join(str(error).split())
    if isinstance(error, (UnauthorizedError, AuthorizationExpiredError, OAuthError)):
        return (
            f"{_REST} does not accept the credentials: {text}",
            "Set credential or token in catalog_properties, best by CARLAKE_CATALOG_PROPERTIES.",
        )
    if isinstance(error, ForbiddenError):
        return f"{_REST} does not permit it: {text}", "Let its administrator grant this user the namespace."
    if "Could not decode json" in text or "Unexpected JSON" in text or "unexpected JSON" in text:
        return (
            f"what answers there is no Iceberg REST catalog: {text[:200]}",
            "Set catalog_uri to the address below which /v1/config is, and catalog_properties.warehouse if it wants one.",
        )
    return f"{_REST} answered: {text}", "Run the command again; if it stays so, look at the server's log."


def _of_requests(error: Exception) -> Meaning:
    text = " ".join(str(error).split())
    if "CERTIFICATE_VERIFY_FAILED" in text or "SSLError" in type(error).__name__:
        return f"no connection by TLS: {text}", "Name the authority's file by ssl.cabundle, or REQUESTS_CA_BUNDLE."
    if _SILENT.search(text):
        return f"{_REST} cannot be reached: {text}", "Check that the server runs, and host and port in catalog_uri."
    return f"{_REST} did not answer as one does: {text}", "Check catalog_uri."


def _of_aws(error: Exception) -> Meaning:
    text, name = " ".join(str(error).split()), type(error).__name__
    if name in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"):
        return f"no AWS credentials were found: {text}", "Log in, set AWS_PROFILE, or give the machine a role."
    if name == "NoRegionError":
        return "no AWS region is set", "Set AWS_REGION, or glue.region in catalog_properties."
    if _code(error) in ("AccessDeniedException", "AccessDenied"):
        return (
            f"{_GLUE} does not permit it: {text}",
            "Grant the role glue:*Table* and glue:*Database* on the namespace.",
        )
    if _code(error) in ("UnrecognizedClientException", "ExpiredTokenException", "InvalidClientTokenId"):
        return f"{_GLUE} does not accept the credentials: {text}", "Log in again."
    if name in ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"):
        return f"{_GLUE} cannot be reached: {text}", "Check the network, AWS_REGION and glue.endpoint."
    return f"{_GLUE} answered: {text}", ""


def _code(error: Exception) -> str:
    """The code of an AWS service's error."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def _state(error: Exception) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
