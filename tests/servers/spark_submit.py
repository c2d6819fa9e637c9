"""Environments that a job is submitted in: an interpreter that does not know carlake, and Spark's own `spark-submit`.

One has the Spark of the tests, the other Spark 3.5, which AWS Glue 5 runs, with what it needs beside. The other packages
that carlake depends on are those of the tests; carlake itself comes with the job.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servers.java import java
from servers.provide import packages

ROOT = Path(__file__).parents[2]
JOB = ROOT / "src" / "carlake" / "aws" / "spark_job.py"

OLDER = ("pyspark==3.5.9", "py4j==0.10.9.7", "pandas==2.3.3", "numpy==2.3.5")
"""Spark 3.5 wants pandas wherever Arrow goes through Python."""


@dataclass(frozen=True)
class Environment:
    """Where a job runs: its interpreter, and the folder of Spark."""

    python: Path
    spark: Path

    def submit(
        self, archive: Path, script: Path, *arguments: str, conf: Sequence[str] = (), packages: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a job to its end; `archive` holds carlake."""
        command = [str(self.spark / "bin" / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g"]
        command += ["--py-files", str(archive), "--packages", ",".join(packages)]
        command += [part for each in conf for part in ("--conf", each)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARK"))}
        environment |= {
            "SPARK_HOME": str(self.spark),
            "PYSPARK_PYTHON": str(self.python),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "JAVA_HOME": str(java().parents[1]),
        }
        return subprocess.run(
            [*command, str(script), *arguments], env=environment, capture_output=True, text=True, cwd=archive.parent
        )


def environment(folder: Path, *, older: bool = False) -> Environment:
    """An environment in a new folder. `older`: with Spark 3.5."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    own = next((folder / "lib").glob("python*")) / "site-packages"
    # Folders that a .pth names are searched, but their own .pth files are not read: so carlake's sources are not there.
    folders = [*([str(_older())] if older else []), *site.getsitepackages()]
    (own / "tests.pth").write_text("\n".join(folders) + "\n", encoding="utf-8")
    spark = next(Path(each) / "pyspark" for each in folders if (Path(each) / "pyspark").is_dir())
    return Environment(folder / "bin" / "python", spark)


def provide() -> None:
    """Fetch Spark 3.5."""
    _older()


def older_spark() -> Path:
    """The folder of Spark 3.5."""
    return _older() / "pyspark"


def _older() -> Path:
    return packages("spark-3.5.9", *OLDER)


def archive(folder: Path) -> Path:
    """carlake in a zip file, as its wheel has it."""
    made = folder / "carlake.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in sorted((ROOT / "src" / "carlake").rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                zipped.write(file, file.relative_to(ROOT / "src"))
    return made
