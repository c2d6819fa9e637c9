"""The servers of one test process, each started when the first test needs it, and all ended with the tests."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType

from servers import moto, postgres, rest_catalog, versitygw


class Servers:
    """A context manager; within, each attribute is a running server."""

    def __init__(self) -> None:
        self._running = ExitStack()

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @cached_property
    def postgres(self) -> postgres.Server:
        """PostgreSQL."""
        return self._running.enter_context(postgres.running())

    @cached_property
    def s3(self) -> versitygw.Server:
        """An object store."""
        return self._running.enter_context(versitygw.running())

    @cached_property
    def rest(self) -> rest_catalog.Server:
        """Iceberg's REST catalog, for tables on the local disk and in the object store."""
        store = {
            "s3.endpoint": self.s3.endpoint,
            "s3.path-style-access": "true",
            "s3.access-key-id": versitygw.ACCESS,
            "s3.secret-access-key": versitygw.SECRET,
            "client.region": versitygw.REGION,
        }
        return self._running.enter_context(rest_catalog.running(properties=store, s3=True))

    @cached_property
    def moto(self) -> moto.Server:
        """The shapes of AWS's APIs."""
        return self._running.enter_context(moto.running())
