"""Every key of the settings: its type, default, meaning, and what it may be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, field_validator, model_validator

CATALOGS = ("sqlite", "postgres", "rest", "glue", "sql", "hive", "dynamodb", "bigquery", "in-memory")
"""`sqlite` is the lake's own file, `postgres` a database; the others are the catalog types of PyIceberg."""
PATH_KEYS = ("contracts", "rules")
KEY_FILES = ("pseudonym_key_file", "tombstone_key_file", "state_folder")
SECRET_KEYS = (
    "catalog_uri",
    "catalog_properties",
    "store_properties",
    "spark_properties",
    "hooks_webhook",
    "hooks_headers",
)
_NEED_URI = ("postgres", "sql", "rest", "hive")
_SIZE_KEYS = ("max_record_bytes", "memory_limit", "batch_bytes", "target_file_bytes", "log_bytes")
_SIZE = re.compile(r"\s*\d+(\.\d+)?\s*([KMGT]i?B|B)?\s*", re.IGNORECASE)
STORE_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "memory")
_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^/\s]+(/.*)?")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,127}")


class Keys(BaseModel):
    """The keys alone; `Settings` reads them from where they may stand."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False, allow_inf_nan=False
    )

    namespace: str = Field("carlake", description="Namespace of the tables in the catalog.")
    catalog: str = Field(
        "sqlite",
        description='Catalog that holds the tables: "sqlite" (the lake\'s own file), "postgres" (a database; extra postgres), '
        '"rest", "glue" (extra aws), or another type of PyIceberg: '
        + ", ".join(f'"{name}"' for name in CATALOGS[4:])
        + ".",
    )
    catalog_uri: SecretStr | None = Field(None, description="Address of the catalog, where it is not the lake's own.")
    catalog_properties: dict[str, SecretStr] = Field(
        default_factory=dict, description="Further properties of the catalog, as PyIceberg names them."
    )
    landing: str = Field(
        "",
        description="Where objects arrive, where that is not the lake's own folder: a prefix in an object store "
        "(s3://BUCKET/PREFIX, gs://, az://).",
    )
    archive: str = Field(
        "",
        description="Where objects go after their rows are committed, where that is not the lake's own folder: a prefix in "
        "an object store, the same or another.",
    )
    warehouse: str = Field(
        "",
        description="Where the tables lie, where that is not the lake's own folder: a prefix in an object store. Set it "
        "before anything is landed: tables stay where they were made.",
    )
    store_properties: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Options of object stores, as obstore names them (endpoint, region, virtual_hosted_style_request ...), "
        "and profile, max_retries, retry_seconds. Credentials come from the platform's own chain if not from here.",
    )
    state_folder: Path | None = Field(
        None,
        description="Folder of this machine for the log, locks and temporary files of a lake in an object store: nothing "
        "that counts. Without it: the user's folder for state (XDG_STATE_HOME), the folder for temporary files on Lambda.",
    )
    contracts: tuple[Path, ...] = Field(
        (), description="Contract files of your own, after the shipped ones. Relative to the file that names them."
    )
    contracts_off: tuple[str, ...] = Field((), description="Names of shipped contracts that are switched off.")
    rules: tuple[Path, ...] = Field(
        (), description="Files of alert rules of your own. Relative to the file that names them."
    )
    max_record_bytes: Annotated[ByteSize, Field(ge=1024, le=2**30)] = Field(
        ByteSize(16 * 2**20), description="A record longer than this goes to quarantine."
    )
    after_landing: Literal["move", "leave", "delete"] = Field(
        "move", description="What becomes of an object in the lake's own landing folder once its rows are committed."
    )
    whole_when: Literal["rename", "settled", "marker"] = Field(
        "rename",
        description="How an object in landing is known to be whole: nobody has it open for writing, as after a rename or "
        "a finished copy; its size and times have settled; or a marker (NAME.ready, or _SUCCESS in its folder) says so.",
    )
    settle_seconds: float = Field(
        1.0, ge=0, le=86_400, description="For how long a file has not changed that counts as settled."
    )
    list_seconds: float = Field(
        10.0, ge=0.05, le=86_400, description="How often `watch` lists landing when no event tells it to look."
    )
    queue: str = Field(
        "", description="URL of the queue (SQS) that tells `watch` of objects that arrive in S3; its option `--queue`."
    )
    queue_list_seconds: float = Field(
        300.0,
        ge=0.05,
        le=86_400,
        description="How often `watch` lists landing while a queue tells it of arrivals: so late an object may be whose "
        "event was lost. Where the queue cannot be used, `list_seconds` counts.",
    )
    max_latency_seconds: float = Field(
        0.2,
        ge=0,
        le=3600,
        description="For how long `watch` may gather objects into one batch, the work on it included. A lone object is "
        "taken at once; a longer time makes fewer and larger commits.",
    )
    log_bytes: Annotated[ByteSize, Field(ge=2**16)] = Field(
        ByteSize(64 * 2**20), description="What the log in the lake's folder may take on the disk."
    )
    silver_partition: Literal["month", "day"] = Field(
        "month", description="Partition silver by month, or by day for a large fleet."
    )
    code: str = Field(
        "",
        pattern=r"^[0-9A-Za-z.-]{0,64}$",
        description="Which build of carlake runs, where the version does not say it: each snapshot records it beside the "
        "version. A deployment gives the hash of its package.",
    )
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb",
        description='What computes runs: "duckdb" in this process, or "spark", on many machines (needs the extra spark).',
    )
    spark_master: str = Field(
        "local[*]", description="Where Spark computes, if none runs already. A submitted job says it itself."
    )
    spark_properties: dict[str, SecretStr] = Field(
        default_factory=dict, description="Further properties of Spark, as it names them (spark.executor.memory ...)."
    )
    memory_limit: Annotated[ByteSize, Field(ge=128 * 2**20)] = Field(
        ByteSize(2**30), description="Memory that the engine may take before it spills to disk."
    )
    threads: int = Field(0, ge=0, le=1024, description="Threads that the engine may use; 0 takes all cores.")
    batch_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(2 * 2**30), description="One commit of landing takes objects up to this size in all, but at least one."
    )
    batch_files: int = Field(10_000, ge=1, description="One commit of landing takes at most so many objects.")
    pseudonym_key_file: Path | None = Field(
        None,
        description="File with a key (64 hexadecimal digits or more). Where it is set, personal data is landed as "
        "pseudonyms under that key; set it before anything is landed, and keep the file apart from the lake.",
    )
    tombstone_key_file: Path | None = Field(
        None,
        description="File with the key that tombstones of forgotten cars are made with. "
        "Without it: tombstone.key in the lake, made when the first car is forgotten.",
    )
    query_timeout_seconds: float = Field(60.0, gt=0, description="Time limit of one query.")
    target_file_bytes: Annotated[ByteSize, Field(ge=2**20)] = Field(
        ByteSize(32 * 2**20),
        description="Size that data files are aimed at; a correction rewrites the files it touches.",
    )
    releases_kept: int = Field(
        10, ge=0, le=1000, description="So many newest releases keep their tags, run_<run id>; 0 makes none."
    )
    releases_days: int = Field(
        7, ge=0, le=366, description="The newest release of each of so many days keeps its tag, too."
    )
    circuit_failures: int = Field(
        3, ge=1, le=1000, description="A table that fails so often in a row has an open circuit: see alerts on failure."
    )
    circuit_longest_wait_seconds: float = Field(
        300.0, ge=1, le=86_400, description="The longest wait between two tries of a table that keeps failing."
    )
    hooks_webhook: SecretStr | None = Field(
        None, description="URL that events (a circuit opened or closed, a run failed) are posted to, as JSON."
    )
    hooks_headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Further HTTP headers of the webhook, such as Authorization."
    )
    hooks_command: tuple[str, ...] = Field(
        (), description="Program and arguments that an event is given to, as JSON on standard input. No shell."
    )
    hooks_timeout_seconds: float = Field(
        10.0, gt=0, le=600, description="Time limit of one call of the webhook, and of the command."
    )

    maintenance: Literal["auto", "off"] = Field(
        "auto",
        description='"auto": `run` and `watch` do a little of the due maintenance after their work; "off": only '
        "`carlake maintain` does any.",
    )
    keep_snapshots: int = Field(
        20,
        ge=5,
        le=1000,
        description="Newest snapshots that each table keeps, beside releases; commits slow with more.",
    )
    keep_snapshots_behind: int = Field(
        200,
        ge=5,
        le=10_000,
        description="For a table that is behind, its source keeps history up to so many snapshots; further behind, its "
        "next refresh reads everything.",
    )
    keep_metadata_files: int = Field(20, ge=2, le=1000, description="Former metadata files that each table keeps.")
    compact_files: int = Field(
        8, ge=2, le=1000, description="Small files of about one size, in one partition, that are merged into one."
    )
    reader_grace_minutes: float = Field(
        15.0,
        ge=0,
        description="A file that only expired snapshots need stays so long, for readers in the middle of it.",
    )
    orphan_age_hours: float = Field(
        24.0, ge=0, description="A file that no table refers to is removed once it is so old; see orphan removal."
    )
    keep_runs_days: int = Field(90, ge=1, description="`ops_runs` keeps the rows of runs so long.")
    bronze_retention_days: int = Field(
        0, ge=0, description="Bronze keeps records so long, and of older objects a marker row; 0 keeps all."
    )
    archive_retention_days: int = Field(
        0, ge=0, description="The archive keeps objects so long; 0 keeps all. Without them bronze cannot be made anew."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_setting_is_a_switch(cls, value: Any) -> Any:
        if isinstance(value, bool):  # pydantic would take true for the number 1
            raise ValueError("true and false mean nothing here")
        return value

    @field_validator("namespace")
    @classmethod
    def _namespace_that_engines_take(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                "query engines take a name of lower-case letters, digits and _ that begins with a letter; "
                f"use {engine_name(value)!r}"
            )
        return value

    @field_validator("catalog")
    @classmethod
    def _known_catalog(cls, value: str) -> str:
        if value not in CATALOGS:
            raise ValueError(f"there is no such catalog type; {nearest(value, CATALOGS)}")
        return value

    @field_validator(*_SIZE_KEYS, mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        if isinstance(value, str) and not _SIZE.fullmatch(value):  # ByteSize would take "16 MiBs" for 16 MiB
            raise ValueError('a size is a number of bytes, or text such as "16 MiB"')
        return value

    @field_validator("landing", "archive", "warehouse")
    @classmethod
    def _prefix_in_a_store(cls, value: str) -> str:
        if not value:
            return value
        if (found := _PREFIX.fullmatch(value)) is None or found[1].lower() not in STORE_SCHEMES:
            schemes = ", ".join(f"{scheme}://" for scheme in ("s3", "gs", "az"))
            raise ValueError(
                f"it is a prefix in an object store ({schemes}BUCKET/PREFIX), or not set: the lake's own folder"
            )
        return value.rstrip("/")

    @field_validator("hooks_webhook")
    @classmethod
    def _webhook_is_http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/]+\S*", value.get_secret_value()):
            raise ValueError("a webhook's address begins with https:// or http:// and has no spaces")
        return value

    @field_validator("hooks_headers")
    @classmethod
    def _headers_of_one_line(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            text = secret.get_secret_value()
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not (text.isprintable() and text.isascii()):
                raise ValueError(f"{name!r} is no HTTP header with a value of one line of ASCII")
        return value

    @field_validator(*KEY_FILES)
    @classmethod
    def _absolute_path(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @field_validator(*PATH_KEYS)
    @classmethod
    def _absolute_paths(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().absolute() for path in value)

    @model_validator(mode="after")
    def _catalog_has_its_address(self) -> Keys:
        if self.catalog == "sqlite" and self.catalog_uri is not None:
            raise ValueError("setting 'catalog_uri' has no use with catalog = 'sqlite', the lake's own file")
        if self.catalog in _NEED_URI and self.catalog_uri is None:
            raise ValueError(f"setting 'catalog_uri' is needed with catalog = {self.catalog!r}")
        return self


def engine_name(text: str) -> str:
    """The nearest name that query engines take: `my-Lake` -> `my_lake`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.strip()) if "-" not in text and "_" not in text else text
    name = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    name = re.sub(r"^[^a-z]+", "", name)
    return name[:128] or "carlake"


def nearest(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """A hint for a word that is not known: the nearest that is, else all of them."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
