"""A session of the DuckDB that has an Iceberg reader, in a process of its own: carlake's DuckDB is a newer one.

Reads JSON from standard input: the text that is pasted, and queries. Prints the row of each query as a JSON list.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import duckdb


def main() -> None:
    """Paste, ask, print."""
    asked = json.load(sys.stdin)
    packages = Path(duckdb.__file__).parents[1]
    with tempfile.TemporaryDirectory() as extensions:
        connection = duckdb.connect(config={"extension_directory": extensions})
        # From the packages and not from the network; the INSTALL of the text then finds them installed.
        for name in ("avro", "iceberg", "httpfs", "aws"):
            (file,) = packages.glob(f"duckdb_extension_{name}/extensions/*/*.duckdb_extension")
            connection.execute(f"INSTALL '{file}'")
        connection.execute(asked["text"])
        for query in asked["queries"]:
            for row in connection.execute(query).fetchall():
                print(json.dumps(row, default=str))


if __name__ == "__main__":
    main()
