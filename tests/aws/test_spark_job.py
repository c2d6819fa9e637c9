"""The Spark job: the templates' own arguments by the job's own parser; and the job as Glue would start it (`--aws all`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from carlake_aws.duties import BACKFILL, statements
from carlake_aws.job_environment import ARCHIVE
from carlake_aws.names import Names
from carlake_aws.own_settings import contents
from carlake_aws.parameters import Parameters
from carlake_aws.templates import resources, synthesize

from aws import glue_job
from aws.conftest import KEY, Template
from aws.evaluated import allows
from aws.filled import fill
from aws.own import ping, settings_file
from aws.recorded import asked
from carlake import lake as lakes
from carlake.aws.spark_job import Job, parsed
from carlake.engines.spark.engine import RUN as RUN_PROPERTY
from carlake.engines.spark.session import EXTENSIONS, session_conf
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from carlake.storage.clients import forget_clients
from servers import versitygw
from servers.faults import failing
from servers.shared import Servers

FLEET = Fleet(events=60, cars=4, flat=0.2, snapshot=0.1, duplicates=0.1, corrections=0.1, bad=0.1)


@pytest.fixture(scope="module")
def emr(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The compute stack of a deployment that backfills by EMR Serverless."""
    made = synthesize(Parameters(backfill="emr-serverless"), tmp_path_factory.mktemp("emr"), checked=False)
    template: Template = json.loads(made["compute"].read_text(encoding="utf-8"))
    return template


def own_conf(job: Job, folder: Path) -> dict[str, str]:
    """What the job would set by itself in its Spark session."""
    settings = Settings.load(texts={"engine": "spark", "state_folder": str(folder / "state"), **job.given})
    with Lakehouse(lakes.create(job.lake, settings), settings) as house:
        return session_conf(house.settings, house.lake)


def is_the_backfill(job: Job, names: Names) -> None:
    assert (job.command, job.lake, job.names) == ("run", names.uri("warehouse", "lake"), [])
    assert job.given == {
        "namespace": "carlake_prod",
        "catalog": "glue",
        "engine": "spark",
        "code": "0123456789abcdef",
        "landing": names.uri("landing", "in"),
        "archive": names.uri("archive"),
        "after_landing": "leave",
        "maintenance": "off",
    }
    settings = Settings.load(texts=job.given)
    assert (settings.after_landing, settings.maintenance) == ("leave", "off"), "its role may not take from landing"


def sets_nothing_of_iceberg_itself(given: Mapping[str, str], job: Job, folder: Path) -> None:
    """Some services let nothing of a catalog be set once Spark runs."""
    assert given["spark.sql.extensions"] == EXTENSIONS
    own = own_conf(job, folder)
    assert "spark.sql.catalog.carlake.type" in own
    differs = {
        key: (given.get(key), value)
        for key, value in own.items()
        if key.startswith("spark.sql.catalog") and given.get(key) != value
    }
    assert differs == {}


@pytest.fixture
def store(servers: Servers, monkeypatch: pytest.MonkeyPatch, names: Names) -> versitygw.Server:
    """An object store with the buckets of the deployment, in which lakes are looked for."""
    for name, value in servers.s3.environment.items():
        monkeypatch.setenv(name, value)
    for kind in ("landing", "archive", "warehouse"):
        if names.bucket(kind) not in servers.s3.buckets:
            servers.s3.make_bucket(names.bucket(kind))
    forget_clients()
    return servers.s3


def test_glue_is_told_what_the_job_takes(
    templates: dict[str, Template], names: Names, store: versitygw.Server, tmp_path: Path
) -> None:
    arguments = glue_job.default_arguments(templates["compute"], names)
    job = parsed([part for pair in {**arguments, **glue_job.OWN}.items() for part in pair])
    is_the_backfill(job, names)
    assert job.run == glue_job.RUN
    given = dict(conf.split("=", 1) for conf in glue_job.confs(arguments))
    sets_nothing_of_iceberg_itself(given, job, tmp_path)
    assert arguments["--python-virtual-env"].endswith(f"/{ARCHIVE}")
    assert "--additional-python-modules" not in arguments, "nothing is fetched when a job begins"
    kept = names.uri("logs", "spark")
    assert arguments["--spark-event-logs-path"].startswith(kept) and arguments["--TempDir"].startswith(kept)


def test_what_is_asked_of_a_run_goes_before_what_the_job_has(templates: dict[str, Template], names: Names) -> None:
    arguments = glue_job.default_arguments(templates["compute"], names)
    asked_for = {"--paths": '["s3://archive/2025/"]', "--spark-properties": '{"spark.sql.shuffle.partitions": "400"}'}
    job = parsed([part for pair in {**arguments, **asked_for}.items() for part in pair])
    assert job.names == ["s3://archive/2025/"] and "spark_properties" in job.given


def test_emr_is_told_what_the_job_takes(emr: Template, names: Names, store: versitygw.Server, tmp_path: Path) -> None:
    arguments = fill(emr["Outputs"]["BackfillArguments"]["Value"], names).replace("ref:CodeHash", "0123456789abcdef")
    job = parsed(json.loads(arguments))
    is_the_backfill(job, names)
    (application,) = resources(emr, "AWS::EMRServerless::Application").values()
    (defaults,) = fill(application["Properties"]["RuntimeConfiguration"], names)
    given = defaults["Properties"]
    sets_nothing_of_iceberg_itself(given, job, tmp_path)
    assert given["spark.archives"].endswith(f"/{ARCHIVE}#environment")
    pythons = {value for key, value in given.items() if key.endswith(("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"))}
    assert pythons == {"./environment/bin/python"} and len([key for key in given if "PYSPARK" in key]) == 3


def test_emr_keeps_its_logs_where_its_role_may_write(emr: Template) -> None:
    names = Names(Parameters(backfill="emr-serverless"), "aws", "123456789012", "eu-west-1", KEY)
    (application,) = resources(emr, "AWS::EMRServerless::Application").values()
    told = fill(application["Properties"]["MonitoringConfiguration"], names)
    assert told["S3MonitoringConfiguration"]["LogUri"].startswith(names.uri("logs", "spark"))
    group = told["CloudWatchLoggingConfiguration"]["LogGroupName"]
    assert [fill(found["Properties"]["LogGroupName"], names) for found in resources(emr, "AWS::Logs::LogGroup").values()
            if "backfill" in json.dumps(found)] == [group]  # fmt: skip
    written = [one for one in statements(BACKFILL, names) if one.sid == "WriteLogs"]
    assert [arn for one in written for arn in one.resources] == [names.arn("logs", f"log-group:{group}:log-stream:*")]


def test_the_job_as_glue_starts_it(
    templates: dict[str, Template],
    servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, services = servers.s3, servers.moto
    names = Names(Parameters(), "aws", "210987654321", versitygw.REGION, KEY)
    for kind in ("landing", "archive", "warehouse"):
        store.make_bucket(names.bucket(kind))
    services.client("glue").create_database(DatabaseInput={"Name": names.parameters.database})
    simulated = write(FLEET, tmp_path / "in", files=4, format="mixed")
    landed = [file for file in sorted(simulated.folder.rglob("*")) if file.is_file()]
    for file in landed:
        store.client().upload_file(str(file), names.bucket("landing"), f"in/{file.relative_to(simulated.folder)}")
    store.client().put_object(Bucket=names.bucket("landing"), Key="in/own.ndjson", Body=ping("OWN-1", 7.0).encode())
    arguments = glue_job.default_arguments(templates["compute"], names)
    own_file = settings_file(tmp_path / "own")
    (tmp_path / "package").mkdir()
    (tmp_path / "job").mkdir()
    artefact = glue_job.built(tmp_path / "package", contents(own_file))
    found = {name: value for name, value in store.environment.items() if name != "AWS_ENDPOINT_URL"}
    with failing(store.endpoint) as objects, failing(services.endpoint) as tables:
        through = {"AWS_ENDPOINT_URL_S3": objects.endpoint, "AWS_ENDPOINT_URL_GLUE": tables.endpoint}
        partitions = "spark.sql.shuffle.partitions=2"
        finished = glue_job.start(artefact, arguments, tmp_path / "job", found | through, partitions)
        calls = asked([*objects.seen, *tables.seen], names)
    done = finished.done
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    output = done.stdout + done.stderr
    # Spark hands both of the script's outputs on as one.
    report: dict[str, Any] = json.JSONDecoder().raw_decode(output[output.index("{\n") :])[0]
    counts = (report["status"], report["records"], report["accepted"], report["quarantined"], report["duplicates"])
    bad = sum(simulated.bad.values())
    assert counts == ("succeeded", simulated.records + 1, simulated.events + 1, bad, simulated.duplicates)
    assert report["lake"] == names.uri("warehouse", "lake")

    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"time"')]
    assert {(line["run_id"], line["job_run"]) for line in lines} == {(report["run_id"], glue_job.RUN)}
    assert {line["event"] for line in lines} >= {"run began", "landed", "refreshed", "run done"}
    assert versitygw.SECRET not in output and versitygw.SECRET not in finished.events
    named = set(re.findall(rf'"{re.escape(RUN_PROPERTY)}":"([^"]+)"', finished.events))
    assert named == {report["run_id"]}

    for name, value in (found | {"AWS_ENDPOINT_URL_S3": store.endpoint, "AWS_ENDPOINT_URL_GLUE": services.endpoint}).items():  # fmt: skip
        monkeypatch.setenv(name, value)
    forget_clients()
    given = parsed([part for pair in arguments.items() for part in pair]).given
    settings = Settings.load(
        file=own_file, texts={**given, "engine": "duckdb", "threads": "1", "state_folder": str(tmp_path / "state")}
    )
    with Lakehouse.open(arguments["--lake"], settings) as house:
        verified = house.verify()
        assert (verified.problems, verified.accepted) == ((), simulated.events + 1)
        snapshot = house.catalog.load_table(f"{names.parameters.database}.bronze_car_data").current_snapshot()
        assert snapshot is not None and snapshot.summary is not None
        written = snapshot.summary.additional_properties
        assert (written["carlake.engine"], written["carlake.version"][-17:]) == ("spark", "+0123456789abcdef")
        assert house.run().idle, "the embedded engine finds nothing left to do"
    kept = store.client().list_objects_v2(Bucket=names.bucket("landing"))["Contents"]
    assert len(kept) == len(landed) + 1, "the listing archives, with a role of its own"

    own = statements(BACKFILL, names)
    assert {call.action for call in calls} >= {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "glue:UpdateTable"}
    assert sorted(call for call in calls if not allows(own, call, names)) == []
    forget_clients()
