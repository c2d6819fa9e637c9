"""DuckDB's Iceberg reader in an environment of its own: its extension is not published for the DuckDB that carlake uses.

Run by that environment's Python: reads SQL from standard input, runs it, and prints for each view the number of its
rows and a figure for each of its columns, as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import duckdb

# Of every type the sum of something that any reader must see the same.
FIGURES = {
    "VARCHAR": "sum(length({0}))",
    "DATE": "sum({0} - DATE '1970-01-01')",
    "TIMESTAMP WITH TIME ZONE": "sum(epoch_us({0}))",
    "BLOB": "sum(octet_length({0}))",
}


def figures(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Number of rows, and a figure for each column, as text."""
    columns = connection.execute(f"DESCRIBE {table}").fetchall()
    sums = [FIGURES.get(row[1], "sum({0})").format(f'"{row[0]}"') for row in columns]
    (values,) = connection.execute(f"SELECT count(*), {', '.join(sums)} FROM {table}").fetchall()
    names = ["rows", *(str(row[0]) for row in columns)]
    rounded = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
    return dict(zip(names, rounded, strict=True))


def main() -> None:
    packages = Path(duckdb.__file__).parents[1]
    with tempfile.TemporaryDirectory() as extensions:
        connection = duckdb.connect(config={"extension_directory": extensions})
        # From the packages and not from the network; the INSTALL of the text then finds them installed.
        for name in ("avro", "iceberg"):
            (file,) = packages.glob(f"duckdb_extension_{name}/extensions/*/*.duckdb_extension")
            connection.execute(f"INSTALL '{file}'")
        connection.execute(sys.stdin.read())
        tables = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        json.dump({table: figures(connection, table) for table in tables}, sys.stdout)


if __name__ == "__main__":
    main()
