"""A run or a rebuild as a job for `spark-submit`, AWS Glue, EMR Serverless and whatever else starts a Python file with Spark.

    spark-submit [...] spark_job.py run --lake DIR --set warehouse=s3://bucket/tables --set catalog=glue s3://bucket/in/
    spark-submit [...] spark_job.py rebuild --lake DIR --set ... [TABLE ...] [--all] [--from archive]

Glue hands over pairs alone, so every setting may be given as `--KEY VALUE`, and the rest as `--command run`,
`--paths URI` and `--tables NAME` (one, or a JSON list); what Glue adds for itself is passed over.

The job works in the Spark session that it was started with. It prints the run's report as one JSON document, and ends as
the command line does: 0 done, 1 failed or partly failed, 2 wrong usage. The lake is made where it is not there. While it
works it writes the lines of the lake's log on standard error, each with the run's id and, where the service tells one, the
id of the job's own run; Spark's event log names the run with each of its jobs.

This file can be handed to Spark as it is: it needs only that `carlake` can be imported (an environment that is packed with
it, `--py-files` with the wheel, or an installed package).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from carlake.errors import CarlakeError, NotFoundError
from carlake.words import sentence

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.refresh.report import RunReport

COMMANDS = ("run", "rebuild")
_OPTIONS = ("lake", "settings", "set", "today", "command", "paths", "tables", "from", "pseudonym-secret")
_FLAGS = ("all", "json")

# What Glue itself adds to a job's arguments, beside every name that has a hyphen or begins so.
_GLUES = ("JOB_NAME", "JOB_ID", "JOB_RUN_ID", "SECURITY_CONFIGURATION", "TempDir", "scriptLocation", "class", "conf")

_DONE, _FAILED, _WRONG_USAGE = 0, 1, 2


class UsageError(CarlakeError):
    """The job was given arguments that it does not take."""


@dataclass
class Job:
    """What the arguments ask for.

    given  settings as text, by key; they go before those of the settings file and of the lake
    names  paths of a run, or tables of a rebuild
    run    the id of the job's own run, where the service that started it tells one (Glue does)
    secret ARN of the secret that holds the key of pseudonyms
    """

    command: str = "run"
    lake: str = ""
    settings: str = ""
    given: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    today: date | None = None
    everything: bool = False
    from_archive: bool = False
    run: str = ""
    secret: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for, and print the report; the exit code."""
    try:
        document, code = _done(parsed(sys.argv[1:] if arguments is None else arguments))
    except CarlakeError as error:
        document = {"error": {"what": error.what, "advice": error.advice}}
        sys.stderr.write(f"Error: {error.what}\n" + (f"  {error.advice}\n" if error.advice else ""))
        code = _WRONG_USAGE if isinstance(error, UsageError | NotFoundError) else _FAILED
    json.dump(document, sys.stdout, ensure_ascii=False, allow_nan=False, indent=2)
    sys.stdout.write("\n")
    sys.stdout.flush()
    return code


def parsed(arguments: Sequence[str]) -> Job:
    """The job that the arguments ask for. Raises UsageError; whether a setting's value will do is seen later."""
    from carlake.settings import Settings
    from carlake.settings_keys import nearest

    job = Job()
    words: list[str] = []
    for name, value in _pairs(arguments):
        key = name.replace("-", "_")
        if not name:
            words.append(value)
        elif name == "set":
            key, mark, text = value.partition("=")
            if not mark:
                raise UsageError(f"--set {value}: there is no value.", "Write it as --set key=value.")
            job.given[key.strip().replace("-", "_")] = text
        elif name == "today":
            job.today = _day(value)
        elif name == "from":
            job.from_archive = _archive(value)
        elif name in ("paths", "tables"):
            job.names += _listed(value)
        elif name == "all":
            job.everything = True
        elif name == "pseudonym-secret":
            job.secret = value
        elif name == "JOB_RUN_ID":
            job.run = value
        elif name in ("lake", "settings", "command"):
            setattr(job, name, value)
        elif key in Settings.model_fields:
            job.given[key] = value
        elif name not in _FLAGS and name not in _GLUES and not _is_glues(name):
            known = (*_OPTIONS, *_FLAGS, *Settings.model_fields)
            raise UsageError(f"There is no option --{name}, nor a setting of this name.", sentence(nearest(key, known)))
    if words and words[0] in COMMANDS:
        job.command = words.pop(0)
    job.names += words
    if job.command not in COMMANDS:
        raise UsageError(f"There is no job {job.command!r}.", f"There are: {', '.join(COMMANDS)}.")
    if not job.lake:
        raise UsageError("The job does not know its lake.", "Add --lake DIR.")
    return job


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options with their values, and words with an empty name."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            yield "", word
            continue
        name, mark, value = word[2:].partition("=")
        if name in _FLAGS:
            if rest and rest[0].lower() == "true":
                rest.pop(0)
        elif not mark:
            if not rest or (rest[0].startswith("--") and not _is_glues(name)):
                raise UsageError(f"--{name} needs a value.", f"Write it as --{name} VALUE.")
            value = rest.pop(0) if not rest[0].startswith("--") else ""
        yield name, value


def _is_glues(name: str) -> bool:
    from carlake.settings import Settings

    return name in _GLUES or ("-" in name and name.replace("-", "_") not in Settings.model_fields)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"--today {text}: that is not a day.", "Write it as 2026-11-21.") from None


def _archive(text: str) -> bool:
    if text != "archive":
        raise UsageError(f"--from {text}: there is only the archive to rebuild from.")
    return True


def _listed(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [text] if text else []
    try:
        return [str(item) for item in json.loads(text)]
    except ValueError:
        raise UsageError(f"{text[:80]}: that is not a JSON list.", 'Write it as ["one", "two"].') from None


def _done(job: Job) -> tuple[dict[str, Any], int]:
    """The job's report, as the command line prints it, and the exit code."""
    from carlake.cli.document import plain
    from carlake.cli.report import run_document

    with _opened(job) as house:
        house.journal.also = partial(_say, job)
        report: RunReport = (
            house.run(job.names, today=job.today)
            if job.command == "run"
            else house.rebuild(
                tuple(job.names), everything=job.everything, from_archive=job.from_archive, today=job.today
            )
        )
        document: dict[str, Any] = plain(run_document(report, house.lake.location))
    return document, _DONE if report.status == "succeeded" else _FAILED


def _say(job: Job, line: Mapping[str, Any]) -> None:
    """Write a line of the lake's log where the service keeps the job's output: its machine goes with the job."""
    told = {**line, "job_run": job.run} if job.run else line
    sys.stderr.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")
    sys.stderr.flush()


def _opened(job: Job) -> Lakehouse:
    """The lake, with Spark as its engine unless the settings say otherwise. Raises LakeError, SettingsError."""
    from pathlib import Path

    from carlake.aws.deployed import open_deployed
    from carlake.aws.own_settings import file_beside_the_code
    from carlake.settings import Settings

    given = {"engine": "spark", **job.given}
    file = Path(job.settings) if job.settings else file_beside_the_code()
    # A lake that is not there is made, where nothing can be missing in it.
    make = job.command == "run" or Settings.load(file=file, texts=given).catalog != "sqlite"
    return open_deployed(job.lake, file=file, secret=job.secret, make=make, texts=given)


if __name__ == "__main__" and (ended := main()):
    # Not where all went well: some services take any exit for a failure.
    sys.exit(ended)
