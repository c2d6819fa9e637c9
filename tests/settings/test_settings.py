"""Settings: which layer wins, what is refused, and that an error says where."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError
from pyiceberg.catalog import CatalogType

from carlake import lake as lakes
from carlake.errors import SettingsError
from carlake.settings import CATALOGS, Settings, commented, engine_name, reference


def written(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(**given: object) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings(**given)
    return str(caught.value)


def test_the_first_layer_that_has_a_key_wins(tmp_path: Path) -> None:
    layers = {
        "lake": written(
            tmp_path, "carlake.toml", "threads = 1\nbatch_files = 1\nnamespace = 'lake'\nengine = 'duckdb'"
        ),
        "file": written(tmp_path, "mine.toml", "threads = 2\nbatch_files = 2\nnamespace = 'file'"),
        "environ": {"CARLAKE_THREADS": "3", "CARLAKE_BATCH_FILES": "3"},
        "threads": 4,
    }
    settings = Settings.load(**layers)  # type: ignore[arg-type]
    assert (settings.threads, settings.batch_files, settings.namespace) == (4, 3, "file")
    assert settings.silver_partition == "month"
    assert Settings.load(lake=layers["lake"], environ={}).namespace == "lake"  # type: ignore[arg-type]


def test_an_argument_of_none_and_an_empty_variable_count_as_not_given(tmp_path: Path) -> None:
    lake = written(tmp_path, "carlake.toml", "threads = 1\nnamespace = 'here'")
    settings = Settings.load(lake=lake, environ={"CARLAKE_THREADS": ""}, namespace=None)
    assert (settings.threads, settings.namespace) == (1, "here")


def test_the_process_environment_is_read_when_asked_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARLAKE_NAMESPACE", "fleet")
    assert Settings.load().namespace == "fleet"
    assert Settings().namespace == "carlake"


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    lake = written(tmp_path / "lake", "carlake.toml", "contracts = ['a.yaml', '/b.yaml', '~/c.yaml']")
    settings = Settings.load(lake=Path("lake/carlake.toml"), environ={"CARLAKE_RULES": "d.yaml:e.yaml"})
    assert lake.exists()
    assert settings.contracts == (tmp_path / "lake" / "a.yaml", Path("/b.yaml"), tmp_path / "me" / "c.yaml")
    assert settings.rules == (tmp_path / "d.yaml", tmp_path / "e.yaml")
    assert Settings(contracts=["f.yaml"]).contracts == (tmp_path / "f.yaml",)


def test_variables_hold_lists_and_tables(tmp_path: Path) -> None:
    settings = Settings.load(
        environ={
            "CARLAKE_CONTRACTS": '["/a:b.yaml"]',
            "CARLAKE_CONTRACTS_OFF": "car_event, car_metrics",
            "CARLAKE_CATALOG_PROPERTIES": '{"s3.region": "eu-west-1"}',
            "CARLAKE_LAKE": "elsewhere",
            "PATH": "/bin",
        }
    )
    assert settings.contracts == (Path("/a:b.yaml"),)
    assert settings.contracts_off == ("car_event", "car_metrics")
    assert settings.catalog_properties["s3.region"].get_secret_value() == "eu-west-1"


@pytest.mark.parametrize(
    ("given", "size"),
    [("16 MiB", 16 * 2**20), ("1.5 MiB", 3 * 2**19), ("2mb", 2_000_000), ("4096", 4096), (4096, 4096)],
)
def test_sizes_are_bytes_or_text(given: object, size: int) -> None:
    assert Settings(max_record_bytes=given).max_record_bytes == size


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().threads = 3  # type: ignore[misc]


def test_an_unknown_key_names_the_nearest_and_where_it_stands(tmp_path: Path) -> None:
    lake = written(tmp_path, "carlake.toml", "threads = 1\n\n  namspace = 'x'\n")
    with pytest.raises(
        SettingsError, match=r"carlake\.toml:3: there is no setting 'namspace'\.\nDid you mean 'namespace'\?"
    ):
        Settings.load(lake=lake, environ={})
    with pytest.raises(
        SettingsError, match=r"variable CARLAKE_TREADS: there is no setting 'treads'\.\nDid you mean 'threads'"
    ):
        Settings.load(environ={"CARLAKE_TREADS": "1"})
    with pytest.raises(
        SettingsError, match=r"argument 'xyz': there is no setting 'xyz'\.\nThere are: namespace, catalog"
    ):
        Settings.load(environ={}, xyz=1)
    assert refusal(rule=["x"]) == "There is no setting 'rule'; did you mean 'rules'?"


def test_a_wrong_value_is_named_with_its_place(tmp_path: Path) -> None:
    lake = written(tmp_path, "carlake.toml", "# c\nthreads = 1\nafter_landing = 'keep'\n")
    with pytest.raises(
        SettingsError, match=r"carlake\.toml:3: setting 'after_landing' is 'keep': .*'move', 'leave' or 'd"
    ):
        Settings.load(lake=lake, environ={})
    with pytest.raises(SettingsError, match="variable CARLAKE_THREADS: setting 'threads' is 'many'"):
        Settings.load(lake=lake, environ={"CARLAKE_THREADS": "many", "CARLAKE_AFTER_LANDING": "move"})
    with pytest.raises(SettingsError, match="variable CARLAKE_CONTRACTS is not valid JSON"):
        Settings.load(environ={"CARLAKE_CONTRACTS": "[x"})


@pytest.mark.parametrize(
    ("given", "blame"),
    [
        ({"threads": -1}, "'threads' is -1"),
        ({"threads": True}, "'threads' is True"),
        ({"batch_files": 0}, "'batch_files' is 0"),
        ({"max_record_bytes": "16 MiBs"}, 'text such as "16 MiB"'),
        ({"max_record_bytes": 10}, "'max_record_bytes' is 10"),
        ({"query_timeout_seconds": 0}, "'query_timeout_seconds' is 0"),
        ({"query_timeout_seconds": float("inf")}, "'query_timeout_seconds' is inf"),
        ({"contracts": "one.yaml"}, "'contracts' is 'one.yaml'"),
        ({"catalog": "rset", "catalog_uri": "http://x"}, "did you mean 'rest'?"),
        ({"catalog": "rest"}, "'catalog_uri' is needed with catalog = 'rest'"),
        ({"catalog_uri": "sqlite://"}, "'catalog_uri' has no use with catalog = 'sqlite'"),
    ],
)
def test_what_cannot_be_used_is_refused(given: dict[str, object], blame: str) -> None:
    assert blame in refusal(**given)


def test_a_file_that_is_not_toml_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"bad\.toml is not valid TOML: .*line 2"):
        Settings.load(file=written(tmp_path, "bad.toml", "threads = 1\nbatch_files = x\n"), environ={})
    with pytest.raises(SettingsError, match=r"absent\.toml cannot be read: No such file"):
        Settings.load(file=tmp_path / "absent.toml", environ={})


def test_the_lakes_own_table_holds_no_settings(tmp_path: Path) -> None:
    lake = written(tmp_path, "carlake.toml", "[lake]\nformat = 1\nthreads = 2\n")
    with pytest.raises(SettingsError, match=r"carlake\.toml:3: setting 'threads' stands under \[lake\]"):
        Settings.load(lake=lake, environ={})
    with pytest.raises(SettingsError, match=r"carlake\.toml:1: there is no setting 'lake'"):
        Settings.load(file=lake, environ={})


def test_a_misspelt_setting_that_was_appended_below_the_lakes_own_is_refused(tmp_path: Path) -> None:
    root = lakes.create(tmp_path / "lake").toml
    assert Settings.load(lake=root, environ={}) == Settings()
    root.write_text(root.read_text() + "thread = 2\n")
    line = len(root.read_text().splitlines())
    with pytest.raises(SettingsError, match=rf"carlake\.toml:{line}: 'thread' stands under \[lake\]") as refused:
        Settings.load(lake=root, environ={})
    assert refused.value.advice.startswith("Did you mean 'threads'? ") and "above [lake]" in refused.value.advice


def test_the_name_of_a_file_is_said_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "s.toml", 'threads = "many"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as refused:
        Settings.load(file=Path("s.toml"), environ={})
    assert refused.value.what.startswith("s.toml:1: ")


@pytest.mark.parametrize(
    ("name", "would_do"),
    [
        ("my-Lake", "my_lake"),
        ("Fleet", "fleet"),
        ("myLake", "my_lake"),
        ("a.b", "a_b"),
        ("2025_cars", "cars"),
        ("_x", "x"),
        ("wörld", "w_rld"),
        ("é", "carlake"),
        ("", "carlake"),
        ("a" * 200, "a" * 128),
    ],
)
def test_a_namespace_that_engines_cannot_take_is_refused_with_one_that_would_do(name: str, would_do: str) -> None:
    assert engine_name(name) == would_do
    assert f"use {would_do!r}" in refusal(namespace=name)
    assert Settings(namespace=would_do).namespace == would_do


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    secret = "hunter2"
    settings = Settings(
        catalog="sql", catalog_uri=f"postgresql://me:{secret}@db/x", catalog_properties={"s3.secret-access-key": secret}
    )
    assert settings.catalog_uri is not None
    assert secret in settings.catalog_uri.get_secret_value()
    assert secret not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    lake = written(
        tmp_path, "carlake.toml", f"catalog_uri = ['{secret}']\n[catalog_properties]\ntoken = ['{secret}']\n"
    )
    with pytest.raises(SettingsError) as caught:
        Settings.load(lake=lake, environ={})
    assert "carlake.toml:1: setting 'catalog_uri'" in str(caught.value)
    assert "carlake.toml:2: setting 'catalog_properties'" in str(caught.value)
    assert secret not in str(caught.value)
    assert secret not in refusal(catalog_uri=f"postgresql://me:{secret}@db/x")


def test_the_catalogs_are_sqlite_and_those_of_pyiceberg() -> None:
    assert set(CATALOGS) == {"sqlite", "postgres", *(kind.value for kind in CatalogType)}


def test_every_setting_is_described_and_its_default_is_toml(tmp_path: Path) -> None:
    settings = reference()
    assert [setting.key for setting in settings] == list(Settings.model_fields)
    assert all(setting.doc.endswith(".") and setting.type for setting in settings)
    uncommented = "\n".join(f"{setting.key} = {setting.default}" for setting in settings if setting.default)
    assert Settings.load(file=written(tmp_path, "all.toml", uncommented), environ={}) == Settings()
    assert tomllib.loads(commented()) == {}
