"""A bucket of a test's own, seen by a client that is not carlake's."""

from __future__ import annotations

from servers.versitygw import Server


class Bucket:
    """A bucket of a test's own, seen by a client that is not carlake's."""

    def __init__(self, server: Server, name: str, *, versioned: bool) -> None:
        self.name = name
        self.uri = server.make_bucket(self.name, versioned=versioned)
        self.client = server.client()

    def put(self, key: str, *records: str | bytes) -> str:
        """Put an object of these records, one a line; gives its version."""
        content = b"\n".join(record.encode() if isinstance(record, str) else record for record in records)
        return str(self.client.put_object(Bucket=self.name, Key=key, Body=content).get("VersionId", ""))

    def get(self, key: str) -> bytes:
        """An object's content."""
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str = "") -> list[str]:
        """What is there now."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def versions(self, prefix: str = "") -> list[tuple[str, bool]]:
        """Every version and every delete marker: key, and whether it is the newest."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix)
        return [
            (each["Key"], each["IsLatest"])
            for page in pages
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
