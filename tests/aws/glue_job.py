"""A job of Glue as its template has it, and as Glue would start it: the older Spark, its arguments, and what it installs.

What Glue itself does is done here by hand: the environment is unpacked, `--conf` goes to `spark-submit`, Iceberg's jars are
those of the version that Glue 5.1 brings, and every argument reaches the script. Its logs are local files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carlake_aws.job_environment import ARCHIVE, SCRIPT, pack
from carlake_aws.names import Names
from carlake_aws.templates import resources

from aws.filled import fill
from servers.ivy import jars
from servers.java import java
from servers.provide import called
from servers.spark_submit import ROOT, older_spark

ICEBERG = ("org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.0", "org.apache.iceberg:iceberg-aws-bundle:1.10.0")
"""Iceberg as Glue 5.1 has it."""
RUN = "jr_0123456789abcdef"
OWN = {"--JOB_NAME": "carlake-prod-backfill", "--JOB_ID": "j_0123", "--JOB_RUN_ID": RUN}
"""What Glue adds to the arguments."""


def default_arguments(template: Mapping[str, Any], names: Names) -> dict[str, str]:
    """The arguments of the template's job, with its parameters filled in."""
    (job,) = resources(dict(template), "AWS::Glue::Job").values()
    found: dict[str, str] = fill(job["Properties"]["DefaultArguments"], names)
    return {name: value.replace("ref:CodeHash", "0123456789abcdef") for name, value in found.items()}


def confs(arguments: Mapping[str, str]) -> list[str]:
    """What Glue gives to Spark: one argument holds them all."""
    return arguments["--conf"].split(" --conf ")


@dataclass(frozen=True)
class Artefact:
    """The two files of a package that are Spark's, in a folder."""

    folder: Path

    @property
    def environment(self) -> Path:
        """The archive with carlake's wheel and what it needs."""
        return self.folder / ARCHIVE

    @property
    def script(self) -> Path:
        """What Spark starts."""
        return self.folder / SCRIPT


def built(folder: Path, own: Mapping[str, Path] | None = None) -> Artefact:
    """Build the wheel and the environment, with files of one's own: for this Python, where it is not the one that Glue has."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    called(command)
    (wheel,) = folder.glob("carlake-*.whl")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = Path(sys.base_prefix) / "bin"
    made = Artefact(folder)
    pack(wheel, ROOT / "constraints.txt", made.environment, python=python, home=home, own=own)
    made.script.write_bytes((ROOT / "src" / "carlake" / "aws" / SCRIPT).read_bytes())
    return made


@dataclass(frozen=True)
class Finished:
    """A job that has ended. `events` is Spark's event log."""

    done: subprocess.CompletedProcess[str]
    events: str


def start(
    artefact: Artefact, arguments: Mapping[str, str], folder: Path, services: Mapping[str, str], *more: str
) -> Finished:
    """Run a job to its end in an empty folder. `services`: the variables by which AWS's services are found."""
    environment, kept = folder / "environment", folder / "events"
    with tarfile.open(artefact.environment) as archive:
        archive.extractall(environment, filter="fully_trusted")  # our own, with links to this machine's Python
    kept.mkdir()
    spark = older_spark()
    command = [str(spark / "bin" / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g"]
    command += ["--jars", ",".join(map(str, jars(*ICEBERG, alone=True)))]
    own = [f"spark.eventLog.dir={kept.as_uri()}", "spark.eventLog.enabled=true", "spark.eventLog.compress=false"]
    for conf in [*confs(arguments), *own, "spark.ui.enabled=false", "spark.log.level=ERROR", *more]:
        command += ["--conf", conf]
    given = [part for pair in {**arguments, **OWN}.items() for part in pair]
    python = environment / "bin" / "python"
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SPARK_HOME": str(spark),
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_HOME": str(java().parents[1]),
        **services,
    }
    done = subprocess.run(
        [*command, str(artefact.script), *given], env=variables, capture_output=True, text=True, cwd=folder
    )
    events = "".join(file.read_text(encoding="utf-8") for file in kept.rglob("*") if file.is_file())
    return Finished(done, events)
