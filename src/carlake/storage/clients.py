"""Clients of object stores, made from one set of options: obstore for all of them, boto3 for what only S3 has.

Options have obstore's names (`endpoint`, `region`, `virtual_hosted_style_request`, `allow_http` ...), and `profile`.
Credentials come from the platform's own chain where no option gives them. obstore has that of environment variables, web
identity, containers and instances; profiles and single sign-on are boto3's, which is asked where it is installed and
such a configuration is there.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from carlake.errors import SettingsError
from carlake.words import to_install

Options = tuple[tuple[str, str], ...]
"""Options as a key of the clients that are kept: sorted pairs."""

CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "connect_timeout", "timeout", "proxy_url", "user_agent")
"""Options of the HTTP client, and not of a store."""
OWN_OPTIONS = ("profile", "max_retries", "retry_seconds", "unconditional_delete")
"""Options that are carlake's own, beside those of obstore."""

_RETRIES, _RETRY_SECONDS = 8, 60.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 5.0
_TIMEOUT, _CONNECT_TIMEOUT = "60s", "10s"
_KEYS = ("access_key_id", "aws_access_key_id", "secret_access_key", "aws_secret_access_key", "skip_signature")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_ENDPOINT")
_ALLOW_HTTP = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP", "ALLOW_HTTP")
_NEEDS_AWS = f"Install what S3 needs, {to_install('aws')}"


def options_of(properties: Mapping[str, str]) -> Options:
    """Options from the setting `store_properties`. Raises SettingsError for a value that cannot be."""
    given = {name.lower(): value for name, value in properties.items()}
    for name in ("max_retries", "retry_seconds"):
        if name in given:
            try:
                if float(given[name]) < 0:
                    raise ValueError
            except ValueError:
                what = f"Option {name!r} of setting 'store_properties' is no number of 0 or more."
                raise SettingsError(what) from None
    return tuple(sorted(given.items()))


NO_CREDENTIALS = "no credentials for it were found"
CREDENTIALS_ADVICE = "Log in, set AWS_PROFILE or the keys in the environment, or give the machine a role."
# The last place where obstore looks for credentials is the machine's own role.
_ASKED_THE_MACHINE = re.compile(r"/latest/(api/token|meta-data/)")

# What asks stores again would tell each try on standard error; the last one's error is told by carlake.
logging.getLogger("stamina").setLevel(logging.ERROR)

_used: dict[str, list[Options]] = {}
_usual: list[Options] = []


def use(options: Options, locations: Iterable[str] = (), *, others: bool = True) -> None:
    """Reach the stores of these locations by these options until `leave`; `others`: and all that no lake has named."""
    if options and others:
        _usual.append(options)
    for base in _bases(locations):
        _used.setdefault(base, []).append(options)


def leave(options: Options, locations: Iterable[str] = ()) -> None:
    """Take back one `use`; another of the same stays."""
    if options in _usual:
        _usual.remove(options)
    for base in _bases(locations):
        if options in _used.get(base, ()):
            _used[base].remove(options)


Reached = tuple[Options, tuple[tuple[str, Options], ...]]
"""By which options stores are reached: what another process needs to reach them, too."""


def reached() -> Reached:
    """What this process was told by `use`, for `reach_as` in another."""
    return _usual[-1] if _usual else (), tuple(sorted((base, told[-1]) for base, told in _used.items() if told))


def reach_as(other: Reached) -> None:
    """Reach stores as another process does."""
    _usual[:] = [other[0]] if other[0] else []
    _used.update((base, [options]) for base, options in other[1])


def options_for(base: str) -> Options:
    """The options that a bucket, `scheme://name`, is reached by: those that were told last."""
    told = _used.get(base) or _usual
    return told[-1] if told else ()


def _bases(locations: Iterable[str]) -> set[str]:
    split = (location.partition("://") for location in locations)
    return {f"{scheme}://{rest.partition('/')[0]}" for scheme, mark, rest in split if mark}


@functools.lru_cache(maxsize=64)
def client(base: str, options: Options = ()) -> Any:
    """The obstore client for one bucket, `scheme://name`. `memory://name` lives as long as the process.

    Single requests are repeated a bounded number of times, with jitter. Raises obstore's errors where it cannot be made,
    and SettingsError.
    """
    from obstore.store import MemoryStore, from_url

    if base.startswith("memory://"):
        return MemoryStore()
    given = dict(options)
    http = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT}
    http |= {name: given.pop(name) for name in CLIENT_OPTIONS if name in given}
    if _plain_http(given):
        http.setdefault("allow_http", "true")
    elif allowed := os.environ.get("AWS_ALLOW_HTTP"):
        http.setdefault("allow_http", allowed)  # obstore reads it only where it is given no options of the client
    own = {name: given.pop(name) for name in OWN_OPTIONS if name in given}
    retry = {
        "max_retries": int(float(own.get("max_retries", _RETRIES))),
        "retry_timeout": timedelta(seconds=float(own.get("retry_seconds", _RETRY_SECONDS))),
        "backoff": {
            "init_backoff": timedelta(seconds=_FIRST_WAIT_SECONDS),
            "max_backoff": timedelta(seconds=_LONGEST_WAIT_SECONDS),
            "base": 2,
        },
    }
    more: dict[str, Any] = {}
    if base.startswith(("s3://", "s3a://", "s3n://")) and (provider := _provider(given, own.get("profile", ""))):
        more["credential_provider"] = provider
    # obstore reads s3a:// as s3://, and knows no s3n://.
    url = "s3://" + base.partition("://")[2] if base.startswith(("s3a://", "s3n://")) else base
    return from_url(url, config=given, client_options=http, retry_config=retry, **more)


@functools.lru_cache(maxsize=64)
def s3_api(options: Options = ()) -> Any:
    """The boto3 client of S3, for what obstore has no call for: versions. Raises SettingsError where it is not installed.

    Its own retries are those of its standard mode: bounded, with jitter, and slower where the store throttles.
    """
    try:
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError:
        raise SettingsError("Object versions in S3 need boto3, which is not installed.", _NEEDS_AWS) from None
    given = dict(options)
    virtual = _is_true(_option(given, "virtual_hosted_style_request"))
    config: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 1 + int(float(given.get("max_retries", _RETRIES)))},
        "s3": {"addressing_style": "virtual" if virtual else "path"} if _option(given, "endpoint") else {},
        "connect_timeout": 10,
        "read_timeout": 60,
        "max_pool_connections": 32,
    }
    if _is_true(given.get("skip_signature", "")):
        config["signature_version"] = UNSIGNED
    session = _session(_option(given, "region"), given.get("profile", ""))
    return session.client(
        "s3",
        endpoint_url=_option(given, "endpoint") or None,
        aws_access_key_id=_option(given, "access_key_id") or None,
        aws_secret_access_key=_option(given, "secret_access_key") or None,
        aws_session_token=_option(given, "session_token") or given.get("token") or None,
        verify=False if _is_true(given.get("allow_invalid_certificates", "")) else None,
        config=Config(**config),
    )


def in_parts(size: int) -> Any:
    """How `s3_api` copies what is larger than `size`: in parts of that size, some at a time."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=size, multipart_chunksize=size, max_concurrency=4)


def lacks_credentials(failure: Exception) -> bool:
    """Whether S3 was not even asked, since no credentials are at hand."""
    return _ASKED_THE_MACHINE.search(str(failure).partition("\n")[0]) is not None


def forget_clients() -> None:
    """Make every client anew: the environment that they were made from has changed."""
    client.cache_clear()
    s3_api.cache_clear()


def _session(region: str, profile: str) -> Any:
    try:
        import boto3
        from botocore.exceptions import ProfileNotFound
    except ImportError:
        raise SettingsError("Profiles of AWS need boto3, which is not installed.", _NEEDS_AWS) from None
    # boto3 knows AWS_DEFAULT_REGION alone, obstore both.
    region = region or os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", "")
    try:
        session = boto3.session.Session(region_name=region or None, profile_name=profile or None)
    except ProfileNotFound as error:
        raise SettingsError(f"{error}.", "Name another in store_properties, or in AWS_PROFILE.") from None
    return (
        boto3.session.Session(region_name="us-east-1", profile_name=profile or None)
        if not session.region_name
        else session
    )


def _provider(given: Mapping[str, str], profile: str) -> Any:
    """boto3's credentials, where profiles are configured and nothing nearer gives any; else None: obstore has its own."""
    named = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or ""
    if any(given.get(key) for key in _KEYS) or (not profile and os.environ.get("AWS_ACCESS_KEY_ID")):
        return None
    files = ((("AWS_SHARED_CREDENTIALS_FILE"), "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))
    configured = any(Path(os.environ.get(variable) or usual).expanduser().is_file() for variable, usual in files)
    if not named and not configured:
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if not named:
            return None
        raise SettingsError(f"AWS profile {named!r} needs boto3, which is not installed.", _NEEDS_AWS) from None
    session = _session(_option(given, "region"), profile)
    return Boto3CredentialProvider(session) if session.get_credentials() is not None else None


def _plain_http(given: Mapping[str, str]) -> bool:
    """Whether requests go unencrypted: the endpoint is written so, or a variable says it, which options would hide."""
    endpoints = (_option(given, "endpoint"), *(os.environ.get(name, "") for name in _ENDPOINTS))
    endpoint = next((each for each in endpoints if each), "")
    return endpoint.startswith("http://") or any(_is_true(os.environ.get(name, "")) for name in _ALLOW_HTTP)


def _option(given: Mapping[str, str], name: str) -> str:
    return given.get(name) or given.get(f"aws_{name}") or ""


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes", "on")
