"""A catalog behind Iceberg's REST protocol, by PyIceberg's RestCatalog: no request waits for ever, reads are asked again."""

from __future__ import annotations

import logging
import weakref
from typing import Any

from pyiceberg.catalog.rest import RestCatalog
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""How long a server may be silent. PyIceberg itself sets no limit."""

_READ_TRIES = 4

# It would tell each try that is followed by another on standard error; the last one's error is told by carlake.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class LakeRestCatalog(RestCatalog):  # type: ignore[misc]  # PyIceberg is untyped here
    """PyIceberg's REST catalog with limits of time.

    Reads are asked again while the server restarts or throttles. A POST never is: `refresh.commit` knows how to find out
    what became of a commit.
    """

    _opened = False

    def _fetch_config(self) -> None:
        """Called by PyIceberg once, first of all."""
        super()._fetch_config()
        self._opened = True

    def _create_session(self) -> Session:
        session: Session = super()._create_session()
        # A server that is not there when a command begins is to be said soon.
        limited = _Limited(_READ_TRIES if self._opened else 1)
        for scheme in ("http://", "https://"):
            session.mount(scheme, limited)
        weakref.finalize(self, session.close)
        return session


class _Limited(HTTPAdapter):
    """Requests that end: with an answer, or with an error after a time."""

    def __init__(self, tries: int) -> None:
        reads = Retry(
            total=tries,
            backoff_factor=0.3,
            backoff_max=5.0,
            backoff_jitter=0.3,
            allowed_methods=("GET", "HEAD"),
            status_forcelist=(429, 502, 503, 504),
            raise_on_status=False,
        )
        super().__init__(max_retries=reads)

    def send(self, request: PreparedRequest, *args: Any, **named: Any) -> Response:
        """As HTTPAdapter's, with a time limit where none was asked for."""
        if named.get("timeout") is None:
            named["timeout"] = (CONNECT_SECONDS, ANSWER_SECONDS)
        return super().send(request, *args, **named)
