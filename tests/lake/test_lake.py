"""A lake is one folder that lies where it was made; anything else is recognised, and left as it is."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import pytest

import at_once
from carlake import lake as lakes
from carlake.errors import LakeError
from carlake.settings import Settings
from carlake.version import VERSION


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below, with its modification time and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def refusal(path: str | Path) -> LakeError:
    """Why `path` cannot be opened, nor made a lake."""
    with pytest.raises(LakeError) as opened:
        lakes.open(path)
    with pytest.raises(LakeError) as created:
        lakes.create(path)
    assert str(created.value) == str(opened.value)
    return opened.value


def test_a_new_lake_is_one_folder(tmp_path: Path) -> None:
    lake = lakes.create(tmp_path / "deep" / "lake")
    assert sorted(path.name for path in lake.root.iterdir()) == [
        ".carlake", "archive", "carlake.toml", "landing", "warehouse",
    ]  # fmt: skip
    assert lakes.open(tmp_path / "deep" / "lake") == lake
    assert lakes.create(lake.root) == lake
    assert lake.format_version == lakes.FORMAT
    assert (lake.landing, lake.archive) == (lake.root / "landing", lake.root / "archive")
    assert lake.scratch.is_dir()
    own = tomllib.loads(lake.toml.read_text(encoding="utf-8"))
    assert own == {"lake": {"format": 1, "id": lake.id, "location": str(lake.root), "made_by": VERSION}}
    assert Settings.load(lake=lake.toml, environ={}) == Settings()


def test_settings_are_written_above_what_the_lake_is(tmp_path: Path) -> None:
    lake = lakes.create(tmp_path / "lake")
    text = lake.toml.read_text(encoding="utf-8")
    lake.toml.write_text(text.replace('# silver_partition = "month"', 'silver_partition = "day"'), encoding="utf-8")
    assert lakes.open(lake.root) == lake
    assert Settings.load(lake=lake.toml, environ={}).silver_partition == "day"


@pytest.mark.parametrize("name", ["a b", "a%20b", "ü ☃", "a#b?c", 'it\'s "so"', "a\nb\\c", "\x7f[x]"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    lake = lakes.create(tmp_path / name)
    assert lake.root == tmp_path.resolve() / name
    assert lakes.open(tmp_path / name) == lake


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    assert "is not UTF-8" in refusal(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).what


def test_a_moved_lake_is_recognised_and_left_alone(tmp_path: Path) -> None:
    made = lakes.create(tmp_path / "made")
    made.root.rename(tmp_path / "moved to")
    before = state(tmp_path)
    error = refusal(tmp_path / "moved to")
    assert error.what.startswith(f"The lake at {tmp_path}/moved to was made at {tmp_path}/made")
    assert f"Move it back to {tmp_path}/made\n" in error.advice
    assert f"carlake recover --lake '{tmp_path}/moved to'" in error.advice
    assert state(tmp_path) == before


def test_a_copy_beside_its_original_is_recognised_and_both_are_left_alone(tmp_path: Path) -> None:
    made = lakes.create(tmp_path / "made")
    shutil.copytree(made.root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "landing")  # which opening a good lake would make again
    before = state(tmp_path)
    error = refusal(tmp_path / "copy")
    assert error.what.startswith(f"{tmp_path}/copy is a copy of the lake at {tmp_path}/made")
    assert f"--lake {tmp_path}/made\n" in error.advice
    assert f"carlake recover --lake {tmp_path}/copy" in error.advice
    assert state(tmp_path) == before
    assert lakes.open(made.root) == made


def test_a_lake_whose_place_another_lake_took_counts_as_moved(tmp_path: Path) -> None:
    lakes.create(tmp_path / "place").root.rename(tmp_path / "old")
    lakes.create(tmp_path / "place")
    assert refusal(tmp_path / "old").what.startswith(f"The lake at {tmp_path}/old was made at {tmp_path}/place")


def test_a_lake_is_the_same_through_a_link(tmp_path: Path) -> None:
    made = lakes.create(tmp_path / "made")
    (tmp_path / "link").symlink_to(made.root)
    assert lakes.open(tmp_path / "link") == made
    assert lakes.create(tmp_path / "link") == made
    made.root.rename(tmp_path / "elsewhere")
    (tmp_path / "made").symlink_to(tmp_path / "elsewhere")  # the recorded paths lead to the tables again
    assert lakes.open(tmp_path / "elsewhere").root == made.root


def test_a_lake_made_through_a_link_records_where_it_really_lies(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert lakes.create(tmp_path / "link" / "lake").root == tmp_path / "real" / "lake"
    (tmp_path / "link").unlink()
    assert lakes.open(tmp_path / "real" / "lake").root == tmp_path / "real" / "lake"


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    lake = lakes.create(tmp_path / "lake")
    text = lake.toml.read_text(encoding="utf-8")
    newer = text.replace("format = 1", "format = 7").replace(f'made_by = "{VERSION}"', 'made_by = "9.8.7"')
    lake.toml.write_text(newer.replace("id =", "new_id ="), encoding="utf-8")
    error = refusal(lake.root)
    assert "has format 7, made by carlake 9.8.7" in error.what
    assert f"this carlake {VERSION} knows format 1" in error.what
    assert "Install carlake 9.8.7" in error.advice


@pytest.mark.parametrize(
    ("text", "blame"),
    [
        ("threads = 1\n", "has no table [lake]"),
        ("[lake]\nid = 'x'\n", "has no 'format'"),
        ("[lake]\nformat = 1\nid = 'x'\n", "has no 'id' or 'location'"),
        ("a = 1\n[lake\n", "is not valid TOML"),
    ],
)
def test_a_damaged_toml_is_named(tmp_path: Path, text: str, blame: str) -> None:
    lake = lakes.create(tmp_path / "lake")
    lake.toml.write_text(text)
    assert blame in refusal(lake.root).what
    assert str(lake.toml) in refusal(lake.root).what


def test_a_lake_that_lost_its_toml_is_not_made_anew(tmp_path: Path) -> None:
    lake = lakes.create(tmp_path / "lake")
    lake.catalog_db.write_bytes(b"tables")
    lake.toml.unlink()
    before = state(lake.root)
    assert f"{lake.toml} is missing" in refusal(lake.root).what
    assert state(lake.root) == before


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    before = state(tmp_path)
    assert "is not a lake: it holds other files" in refusal(tmp_path / "mine").what
    assert state(tmp_path) == before


def test_what_is_no_lake_names_the_nearest_help(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=rf"There is no lake at {tmp_path}/lake\.\nMake one: carlake init --lake"):
        lakes.open(tmp_path / "lake")
    lake = lakes.create(tmp_path / "lake")
    with pytest.raises(LakeError, match=f"Did you mean {tmp_path}/lake"):
        lakes.open(tmp_path / "lakes")
    assert f"There is one in it: --lake {lake.root}" in refusal(tmp_path).advice
    assert f"lies inside the lake at {lake.root}" in refusal(lake.landing).what
    assert f"lies inside the lake at {lake.root}" in refusal(lake.root / "lake").what
    assert "is a file; a lake is a folder" in refusal(lake.toml).what
    assert "is neither a folder of this machine nor a place in an object store" in refusal("ftp://host/lake").what
    (tmp_path / "empty").mkdir()
    with pytest.raises(LakeError, match=r"There is no lake at .*empty yet"):
        lakes.open(tmp_path / "empty")


@pytest.mark.parametrize(
    "made", [(), (".carlake",), (".carlake", "landing"), (".carlake", "landing", "archive", "warehouse")]
)
def test_a_lake_half_made_by_a_crash_is_completed(tmp_path: Path, made: tuple[str, ...]) -> None:
    root = tmp_path / "lake"
    root.mkdir()
    for name in made:
        (root / name).mkdir()
    if made:
        (root / ".carlake" / "lock").touch()
        (root / ".carlake" / "carlake.toml.4711").write_text("# half a fi")
    with pytest.raises(LakeError, match="carlake init"):
        lakes.open(root)
    assert lakes.open(lakes.create(root).root).root == root


def test_objects_may_wait_in_landing_before_the_lake_is_made(tmp_path: Path) -> None:
    (tmp_path / "lake" / "landing").mkdir(parents=True)
    (tmp_path / "lake" / "landing" / "car.json").write_text("{}")
    lake = lakes.create(tmp_path / "lake")
    assert [path.name for path in lake.landing.iterdir()] == ["car.json"]


def test_lost_empty_folders_are_made_again(tmp_path: Path) -> None:
    lake = lakes.create(tmp_path / "lake")
    for folder in (lake.landing, lake.archive, lake.root / ".carlake"):
        shutil.rmtree(folder)
    lakes.open(lake.root)
    assert lake.landing.is_dir()
    assert lake.archive.is_dir()
    assert lake.scratch.is_dir()


def test_eight_processes_at_once_make_one_lake(tmp_path: Path) -> None:
    prepare = "from carlake import lake; import carlake.settings"
    made = at_once.processes(prepare, "print(lake.create(sys.argv[1]).id)", str(tmp_path / "lake"))
    assert made == [(0, f"{lakes.open(tmp_path / 'lake').id}\n", "")] * at_once.AT_ONCE


def test_a_place_where_no_folder_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LakeError, match=r"No lake can be made at .*file/lake: Not a directory\.\nGive a folder"):
        lakes.create(tmp_path / "file" / "lake")
