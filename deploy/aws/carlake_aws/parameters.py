"""What a deployment may choose. Read from one TOML file; every key has a default."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from carlake_aws.forms import EMAIL, NAME, ROLE, Bucket, Database, Folder, Key, Region, Secret, region_of

LAMBDA_SECONDS = 900
"""The longest that AWS lets a function run."""


class ParametersError(ValueError):
    """The file of parameters is not right; the text says where and what would be."""


Texts = Annotated[tuple[str, ...], Field(strict=False)]  # TOML has lists, and no tuples


class Parameters(BaseModel):
    """One deployment. `prefix` and `environment` stand in every name, so that several fit into one account."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prefix: Annotated[str, Field(max_length=12)] = Field(default="carlake", description="Begins every name.")
    environment: Annotated[str, Field(max_length=8)] = Field(default="prod", description="Second part of every name.")
    region: Region = Field(
        default="eu-west-1", description="The region that `carlake deploy` works in; templates fit any."
    )

    function_memory_mb: Annotated[int, Field(ge=1024, le=10_240)] = Field(
        default=3008, description="Memory of the functions; AWS gives a core for each 1,769 MB."
    )
    function_disk_mb: Annotated[int, Field(ge=512, le=10_240)] = Field(
        default=4096, description="Disk (/tmp) of the functions."
    )
    function_seconds: Annotated[int, Field(ge=60, le=LAMBDA_SECONDS)] = Field(
        default=300, description="Time limit of the functions; they stop by themselves before it."
    )
    python: Literal["3.11", "3.12", "3.13"] = Field(
        default="3.13", description="Python of the functions; the package must be built for it."
    )
    batch_messages: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100, description="Messages that one call of the function takes at most, each an object or more."
    )
    batch_seconds: Annotated[int, Field(ge=1, le=300)] = Field(
        default=1, description="For how long messages are gathered for one call. More is cheaper and later."
    )
    concurrency: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=2, description="Calls of the intake function at a time. More than a few contend for the same commits."
    )
    backfill: Literal["glue", "emr-serverless", "none"] = Field(
        default="glue", description="What runs Spark for backfills."
    )
    backfill_workers: Annotated[int, Field(ge=2, le=299)] = Field(
        default=10, description="Workers of a backfill at most."
    )

    settings: str = Field(
        default="",
        description="A carlake.toml that functions and jobs have, with contracts and rules beside it; relative to this file.",
    )

    listing_minutes: Annotated[int, Field(ge=5, le=59)] = Field(
        default=15, description="How often landing is listed, for what no event told of, and archived."
    )
    maintenance_minutes: Annotated[int, Field(ge=15, le=59)] = Field(
        default=30, description="How often maintenance looks for work."
    )
    freshness_seconds: Annotated[int, Field(ge=60)] = Field(
        default=900, description="A table is late when an event waits longer than this for it."
    )
    quarantine_percent: Annotated[float, Field(gt=0, le=100)] = Field(
        default=5.0, description="Share of records in quarantine that raises the alarm."
    )
    scan_limit_mb: Annotated[int, Field(ge=10)] = Field(
        default=10_240, description="What one query of Athena may read at most."
    )

    logs_days: Literal[7, 14, 30, 60, 90, 180, 365] = Field(default=30, description="How long logs are kept.")
    former_versions_days: Annotated[int, Field(ge=7)] = Field(
        default=30, description="How long overwritten and deleted objects can be brought back."
    )
    results_days: Annotated[int, Field(ge=1)] = Field(default=7, description="How long results of queries are kept.")
    archive_cold_days: Annotated[int, Field(ge=30)] = Field(
        default=90,
        description="When archived objects of 128 KiB and more move to Glacier Instant Retrieval, which bills smaller ones as "
        "such. They are never deleted by this.",
    )

    existing_landing_bucket: Bucket = Field(
        default="",
        description="A bucket that events already land in, below landing_prefix; its notification is set by hand.",
    )
    landing_prefix: Folder = Field(
        default="in", description="The folder of the landing bucket that events land in; nothing else in it is touched."
    )
    existing_database: Database = Field(
        default="", description="A database of the Glue catalog to use instead of a new one."
    )
    existing_key: Key = Field(
        default="", description="ARN of a KMS key to use instead of a new one; it needs the policy of the guide."
    )

    pseudonym_secret: Secret = Field(
        default="",
        description="ARN of a secret (Secrets Manager) with a key of 64 hexadecimal digits: personal data is then landed as "
        "pseudonyms under it. Set it before anything is landed.",
    )

    readers: Texts = Field(
        default=(), description="ARNs of roles that may take on the query role; none: the account's own."
    )
    operators: Texts = Field(
        default=(),
        description="ARNs of roles that may take on the role to check and to recover with; none: the account's own.",
    )
    alarm_emails: Texts = Field(default=(), description="Addresses that alarms are sent to.")

    @field_validator("prefix", "environment")
    @classmethod
    def _part_of_names(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(
                "lower-case letters, digits and hyphens, beginning with a letter: it is part of buckets' names"
            )
        return value

    @field_validator("readers", "operators")
    @classmethod
    def _arns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for arn in value:
            if not ROLE.fullmatch(arn):
                raise ValueError(f"{arn!r} is no ARN of a role, a user or an account")
        return value

    @field_validator("alarm_emails")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not EMAIL.fullmatch(address):
                raise ValueError(f"{address!r} is no e-mail address, such as me@example.com")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Parameters:
        if len(f"{self.prefix}-{self.environment}") > 20:
            raise ValueError(
                "prefix and environment are longer than 19 characters together: names of buckets end at 63"
            )
        for key in ("existing_key", "pseudonym_secret"):
            arn = getattr(self, key)
            if arn and region_of(arn) != self.region:
                raise ValueError(
                    f"{key}: it is in {region_of(arn)}, and the deployment in {self.region}: name one there, or set the "
                    f"parameter region to {region_of(arn)}"
                )
        return self

    @property
    def name(self) -> str:
        """`PREFIX-ENVIRONMENT`: what every name begins with."""
        return f"{self.prefix}-{self.environment}"

    @property
    def runs_spark(self) -> bool:
        """Whether backfills are Spark's, so that a package has its job and environment."""
        return self.backfill != "none"

    @property
    def settings_file(self) -> Path | None:
        """The settings file that the package comes with."""
        return Path(self.settings) if self.settings else None

    @property
    def database(self) -> str:
        """The namespace of the tables: a database of the Glue catalog."""
        return self.existing_database or self.name.replace("-", "_")


def read(path: Path | None) -> Parameters:
    """The parameters of a file; all defaults without one. Raises ParametersError."""
    if path is None:
        return Parameters()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        if isinstance(given.get("settings"), str) and given["settings"]:
            given["settings"] = os.path.normpath(path.absolute().parent / given["settings"])
        return Parameters(**given)
    except OSError as error:
        raise ParametersError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParametersError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise ParametersError("\n".join(_refused(path, item) for item in error.errors(include_url=False))) from None


def _refused(path: Path, item: Any) -> str:
    """One finding of pydantic's as a sentence: which file, which parameter, what is wrong with it."""
    where = ": ".join([str(path), *(str(key) for key in item["loc"][:1])])
    text = f"{where}: {_wrong(item)}"
    return text if text.endswith((".", "?")) else f"{text}."


def _wrong(item: Any) -> str:
    kind, key = item["type"], str(item["loc"][0]) if item["loc"] else ""
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key, Parameters.model_fields, n=1, cutoff=0.6)
        return "there is no such parameter." + (f" Did you mean {near[0]}?" if near else "")
    if kind == "value_error":
        return str(item["ctx"]["error"])
    if kind == "tuple_type":
        return 'it must be a list, such as ["one", "two"]'
    given = json.dumps(item["input"], default=str, ensure_ascii=False)
    if kind == "string_type":
        return f"it has {given}, and must be text, in quotes"
    quotes = ", without quotes" if isinstance(item["input"], str) and kind in ("int_type", "float_type") else ""
    return f"it is {given}, and must be {_allowed(key)}{quotes}"


def _allowed(key: str) -> str:
    """What a number, a text of some length or one of some words may be, as its field declares it."""
    field = Parameters.model_fields[key]
    bounds = {name: getattr(one, name) for one in field.metadata for name in _BOUNDS if hasattr(one, name)}
    if field.annotation is str:
        return f"a text of at most {bounds['max_length']} characters"
    if field.annotation not in (int, float):
        return f"one of {', '.join(map(json.dumps, get_args(field.annotation)))}"
    what = "a whole number" if field.annotation is int else "a number"
    if "ge" in bounds and "le" in bounds:
        return f"{what} from {bounds['ge']:,} to {bounds['le']:,}"
    return f"{what} " + " and ".join(f"{_BOUNDS[name]} {limit:,}" for name, limit in bounds.items())


_BOUNDS = {"ge": "of at least", "gt": "above", "le": "of at most", "max_length": "of at most"}


def documented() -> str:
    """A file of parameters with every key, its meaning and its default, as a comment."""
    lines = ["# What a deployment of carlake may choose; every line is optional.", ""]
    for key, field in Parameters.model_fields.items():
        value = field.get_default()
        text = f'"{value}"' if isinstance(value, str) else "[]" if value == () else f"{value:g}"
        lines += [f"# {field.description}", f"# {key} = {text}", ""]
    return "\n".join(lines)
