"""Addresses of catalogs' servers, as users write them, taken apart: what may be shown, who asks, and what nobody may see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_SECRET = re.compile("key$|secret|token|password")
# What libpq's addresses say, as PostgreSQL's JDBC driver names it; what it does not know is left out.
_JDBC = {"sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey"} | {
    "connect_timeout": "connectTimeout",
    "application_name": "ApplicationName",
}
_PATHS = ("sslkey",)  # a file's name, and no key


@dataclass(frozen=True)
class PostgresAddress:
    """The address of a PostgreSQL database.

    shown     as it was written, without a password
    jdbc      host, port, name and options as JDBC's driver takes them, without user and password
    user, password  as they are, "" where the address has none: before its host or among its options
    """

    shown: str
    jdbc: str
    user: str
    password: str


def postgres_address(uri: str) -> PostgresAddress:
    """An address of libpq, `postgresql://...`, with or without the name of a driver."""
    url = urlsplit(uri)
    asked = dict(parse_qsl(url.query))
    host = url.hostname or "localhost"
    port = f":{url.port}" if url.port else ""
    known = {_JDBC[name]: value for name, value in asked.items() if name in _JDBC}
    query = f"?{urlencode(known, safe='/')}" if known else ""
    return PostgresAddress(
        shown=_shown(uri),
        jdbc=f"{f'[{host}]' if ':' in host else host}{port}{url.path or '/'}{query}",
        user=unquote(url.username or "") or asked.get("user", ""),
        password=unquote(url.password or "") or asked.get("password", ""),
    )


def secrets_in(uri: str) -> list[str]:
    """What of an address nobody may see: as it is written there, and as it is meant."""
    url = urlsplit(uri)
    written = [url.password or ""]
    written += [part.partition("=")[2] for part in url.query.split("&") if _is_secret(part)]
    return [secret for text in written if text for secret in dict.fromkeys((text, unquote(text)))]


def _shown(uri: str) -> str:
    url = urlsplit(uri)
    who, at, where = url.netloc.rpartition("@")
    query = "&".join(part for part in url.query.split("&") if not _is_secret(part))
    # Put together by hand: `geturl` leaves out the slashes where no host is named.
    return f"{url.scheme}://{who.partition(':')[0]}{at}{where}{url.path}{f'?{query}' if query else ''}"


def _is_secret(part: str) -> bool:
    name = part.partition("=")[0].lower()
    return name not in _PATHS and _SECRET.search(name) is not None
