"""A run as a submitted job: by `spark-submit`, with carlake in an archive and no source tree in sight."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from carlake.aws import spark_job
from carlake.aws.spark_job import UsageError, parsed
from carlake.engines.spark.catalog_conf import SQLITE_JDBC
from carlake.engines.spark.session import EXTENSIONS, RUNTIMES
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from lakes import BRONZE, iceberg, lakehouse, nested, put
from servers.spark_submit import JOB, archive, environment

FLEET = Fleet(events=150, cars=4, flat=0.2, snapshot=0.1, duplicates=0.1, corrections=0.1, bad=0.1)
SMALL = ("--set", 'spark_properties={"spark.sql.shuffle.partitions": "2"}', "--set", "maintenance=off")


def submitted(
    folder: Path, series: str, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any], Path]:
    """A job in an environment of its own, in which carlake is what the archive holds."""
    (folder / "job").mkdir()
    env = environment(folder / "env", older=series == "3.5")
    alone = subprocess.run([str(env.python), "-c", "import carlake"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in alone.stderr, "the environment has carlake without the job's archive"
    script = folder / "job" / "job.py"
    script.write_text(JOB.read_text(encoding="utf-8"), encoding="utf-8")
    done = env.submit(
        archive(folder / "job"),
        script,
        *arguments,
        conf=[f"spark.sql.extensions={EXTENSIONS}", "spark.log.level=ERROR", "spark.ui.enabled=false"],
        packages=[RUNTIMES[series], SQLITE_JDBC],
    )
    # Before Spark 4 its Ivy talks on standard output.
    text = done.stdout[done.stdout.index("{\n") :] if "{\n" in done.stdout else done.stdout
    return done, json.loads(text) if text.strip() else {}, folder / "lake"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The older Spark, in an environment of its own, every time; the tests' own as a submitted job in `make test-all`."""
    if "series" in metafunc.fixturenames:
        every = metafunc.config.getoption("--matrix") == "all"
        metafunc.parametrize("series", ["3.5", "4.1"] if every else ["3.5"])


def test_a_submitted_run_does_what_a_run_does(tmp_path: Path, series: str) -> None:
    simulated = write(FLEET, tmp_path / "in", files=5, format="mixed")
    done, report, lake = submitted(
        tmp_path, series, "run", str(tmp_path / "in"), "--lake", str(tmp_path / "lake"), *SMALL
    )
    assert (done.returncode, report.get("status")) == (0, "succeeded"), f"{done.stdout}\n{done.stderr[-6000:]}"
    counts = (report["records"], report["accepted"], report["quarantined"], report["duplicates"])
    assert counts == (simulated.records, simulated.events, sum(simulated.bad.values()), simulated.duplicates)
    with lakehouse(lake, Settings(threads=1, maintenance="off")) as house:
        verified = house.verify()
        assert (verified.problems, verified.accepted) == ((), simulated.events)
        snapshot = iceberg(house, BRONZE).current_snapshot()
        assert snapshot.summary.additional_properties["carlake.engine"] == "spark"
        assert house.run([str(simulated.folder)]).idle, "the embedded engine finds nothing left to do"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = spark_job.main(arguments)
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_exit_codes_and_reports_are_those_of_the_command_line(
    small_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, inbox = str(small_folder / "lake"), small_folder / "in"
    embedded = ("--engine", "duckdb", "--threads", "1")
    put(inbox / "a.json", nested("A", "a", "2025-10-01T00:00:00Z"))
    code, report = told(capsys, "run", "--lake", lake, *embedded, str(inbox))
    assert (code, report["status"], report["records"], report["lake"]) == (0, "succeeded", 1, lake)
    (inbox / "broken.json").symlink_to("not there")
    code, report = told(capsys, "--command", "run", "--lake", lake, *embedded, "--paths", json.dumps([str(inbox)]))
    assert (code, report["status"], len(report["problems"])) == (1, "partial", 1)
    code, report = told(capsys, "rebuild", "--lake", lake, *embedded, "gold_car_current_state", "--today", "2026-01-01")
    tables = {step["table"]: step["status"] for step in report["tables"]}
    assert code == 0 and tables["gold_car_current_state"] == "succeeded"
    code, report = told(capsys, "rebuild", "--lake", lake, *embedded, "nothing_like_it")
    assert code == 2 and "nothing_like_it" in report["error"]["what"]
    code, report = told(capsys, "rebuild", "--lake", str(small_folder / "none"), *embedded)
    assert code == 1 and "There is no lake" in report["error"]["what"]
    code, report = told(capsys, "run", "--lake", lake, "--set", "threads=many")
    assert code == 1 and "rgument --threads: setting" in report["error"]["what"]


def test_arguments_of_glue() -> None:
    job = parsed(
        ["--JOB_NAME", "nightly", "--JOB_ID", "j_1", "--JOB_RUN_ID", "jr_1", "--job-bookmark-option", "job-bookmark-disable",
         "--TempDir", "s3://b/temp", "--enable-metrics", "true", "--additional-python-modules", "carlake", "--lake",
         "s3://b/lake", "--catalog", "glue", "--spark-properties", '{"spark.sql.shuffle.partitions": "8"}',
         "--command", "run", "--paths", '["s3://b/in/", "s3://b/more/"]', "--today", "2026-11-21"]
    )  # fmt: skip
    assert (job.command, job.lake, job.names) == ("run", "s3://b/lake", ["s3://b/in/", "s3://b/more/"])
    assert job.given == {"catalog": "glue", "spark_properties": '{"spark.sql.shuffle.partitions": "8"}'}
    assert str(job.today) == "2026-11-21"
    job = parsed(["rebuild", "--lake=l", "--all", "--from", "archive", "--set", "log-bytes=1 MiB"])
    assert (job.command, job.everything, job.from_archive, job.given) == (
        "rebuild",
        True,
        True,
        {"log_bytes": "1 MiB"},
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["run"], "does not know its lake"),
        (["--lake"], "--lake needs a value"),
        (["--lake", "--all"], "--lake needs a value"),
        (["--lake", "l", "--catalogue", "glue"], "no option --catalogue"),
        (["--lake", "l", "--set", "catalog"], "--set catalog: there is no value"),
        (["--lake", "l", "--command", "watch"], "no job 'watch'"),
        (["--lake", "l", "--today", "soon"], "--today soon: that is not a day"),
        (["--lake", "l", "--from", "bronze"], "only the archive"),
        (["--lake", "l", "--paths", "[s3://b"], "not a JSON list"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=what.replace("[", r"\[")):
        parsed(arguments)
    code, document = told(capsys, *arguments)
    assert code == 2 and what in document["error"]["what"]
