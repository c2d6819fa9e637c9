"""Python: PyIceberg, pandas and Polars, which read through PyIceberg's catalog."""

from __future__ import annotations

from collections.abc import Iterator

from carlake.look.connect.place import CATALOG, Place, Value, Variable

_EXTRAS = {"sqlite": "sql-sqlite", "glue": "glue", "hive": "hive", "dynamodb": "dynamodb"}
_STORES = {"abfs": "adlfs", "abfss": "adlfs"}  # pyarrow itself reads S3 and Google's


def pyiceberg(place: Place) -> Iterator[str]:
    """Every table's number of rows, and one as an Arrow table."""
    yield from _start(place, [])
    yield from _catalog(place)
    yield f"for identifier in sorted(catalog.list_tables({_text(place.namespace)})):"
    yield '    print(".".join(identifier), catalog.load_table(identifier).scan().count())'
    yield ""
    yield f"cars = catalog.load_table({_text(f'{place.namespace}.gold_car_current_state')}).scan().to_arrow()"
    yield from _release(place, "scan(snapshot_id={0}).to_arrow()")


def pandas(place: Place) -> Iterator[str]:
    """A table as a data frame."""
    yield from _start(place, ["pandas"])
    yield from _catalog(place)
    yield f"cars = catalog.load_table({_text(f'{place.namespace}.gold_car_current_state')}).scan().to_pandas()"
    yield "print(cars)"
    yield from _release(place, "scan(snapshot_id={0}).to_pandas()")


def polars(place: Place) -> Iterator[str]:
    """Every table as a lazy frame."""
    yield from _start(place, ["polars"])
    yield "import os"
    yield ""
    yield "import polars as pl"
    yield from _catalog(place)
    yield "# polars warns where its own planner of scans is not installed; PyIceberg plans them as well."
    yield 'os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")'
    store = _storage_options(place)
    more = ", storage_options=store" if store else ""
    if store:
        yield "store = {" + ", ".join(f"{_text(key)}: {_text(value)}" for key, value in store.items()) + "}"
    yield "tables = {"
    yield f"    name: pl.scan_iceberg(catalog.load_table((namespace, name)){more})"
    yield f"    for namespace, name in catalog.list_tables({_text(place.namespace)})"
    yield "}"
    yield 'print(tables["gold_car_current_state"].collect())'
    if place.tag:
        yield ""
        yield f"# The tables as they were together at the end of run {place.release}."
        yield "release = {"
        yield f"    name: pl.scan_iceberg(table, snapshot_id=tag.snapshot_id{more})"
        yield f"    for namespace, name in catalog.list_tables({_text(place.namespace)})"
        yield "    for table in [catalog.load_table((namespace, name))]"
        yield f"    if (tag := table.snapshot_by_name({_text(place.tag)}))"
        yield "}"


def _storage_options(place: Place) -> dict[str, str]:
    """How Polars, which reads the data files by itself, reaches a store; who asks it finds in the environment."""
    found = {
        "aws_region": place.region or ("us-east-1" if place.endpoint else None),
        "aws_endpoint_url": place.endpoint,
    }
    if place.endpoint and place.endpoint.startswith("http:"):
        found["aws_allow_http"] = "true"
    return {key: value for key, value in found.items() if value} if place.store == "s3" else {}


def _start(place: Place, packages: list[str]) -> Iterator[str]:
    extras = [_EXTRAS.get(place.catalog), "pyarrow", _STORES.get(place.store)]
    drivers = ["sqlalchemy", '"psycopg[binary]"'] if place.catalog == "postgres" else []
    wanted = [*packages, *drivers, f'"pyiceberg[{",".join(extra for extra in extras if extra)}]"']
    yield f"# Python: pip install {' '.join(wanted)}"
    variables = sorted({value.name for value in _values(place).values() if isinstance(value, Variable)})
    if place.password:
        variables.append(place.password.name)
    if variables:
        yield f"# Set before, with what carlake's settings have: {', '.join(variables)}"


def _values(place: Place) -> dict[str, Value]:
    values = dict(place.properties)
    if place.uri is not None:
        values["uri"] = place.uri
    values["type"] = "sql" if place.catalog in ("sqlite", "postgres") else place.catalog
    if values["type"] == "sql":
        values["warehouse"] = place.warehouse
        values["init_catalog_tables"] = "false"
    return values


def _catalog(place: Place) -> Iterator[str]:
    values = _values(place)
    if any(isinstance(value, Variable) for value in values.values()):
        yield "import os"
        yield ""
    yield "from pyiceberg.catalog import load_catalog"
    yield ""
    yield "catalog = load_catalog("
    yield f"    {_text(CATALOG)},"
    yield "    **{"
    order = ["type", "uri", "warehouse"]
    for key in sorted(values, key=lambda name: (order.index(name) if name in order else len(order), name)):
        yield f"        {_text(key)}: {_python(values[key])},"
    yield "    },"
    yield ")"


def _release(place: Place, read: str) -> Iterator[str]:
    if place.tag:
        yield ""
        yield f"# The same as it was at the end of run {place.release}; all tables of a release fit together."
        yield f"table = catalog.load_table({_text(f'{place.namespace}.gold_car_current_state')})"
        yield f"then = table.{read.format(f'table.snapshot_by_name({_text(place.tag)}).snapshot_id')}"


def _python(value: Value) -> str:
    return f'os.environ["{value.name}"]' if isinstance(value, Variable) else _text(value)


def _text(value: str) -> str:
    """A Python text literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
