"""The functions' package: the same bytes from the same code, everything it needs and nothing else, within what Lambda takes."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from carlake_aws import build
from carlake_aws.job_environment import SCRIPT
from carlake_aws.names import PACKAGES, Names
from carlake_aws.package import Package
from carlake_aws.templates import resources
from carlake_aws.trimmed import cut
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

from aws.account import Template
from aws.filled import fill
from carlake.aws.own_settings import CODE
from carlake.version import VERSION
from servers import function


def test_it_fits_and_holds_the_handlers_of_the_templates(
    package: function.Package, templates: dict[str, Template], names: Names
) -> None:
    assert package.bytes <= build.LARGEST_BYTES < 250 * 2**20
    held = {name for name, _ in build.contents_of(package.files)}
    for found in resources(templates["compute"], "AWS::Lambda::Function").values():
        module = fill(found["Properties"]["Handler"], names).rpartition(".")[0]
        assert f"{module.replace('.', '/')}.py" in held
    assert "carlake/aws/spark_job.py" in held
    for left_out in ("carlake_aws/", "rich/", "botocore/data/ec2/", "pyarrow/include/", "pyarrow/tests/"):
        assert not [name for name in held if name.startswith(left_out)], left_out
    assert not [name for name in held if name.endswith(("direct_url.json", "/RECORD", "/INSTALLER"))]
    compiled = [name for name in held if name.startswith("carlake/") and name.endswith(".pyc")]
    assert len(compiled) == len([name for name in held if name.startswith("carlake/") and name.endswith(".py")])


def test_bytecode_has_the_same_bytes_wherever_it_is_made(package: function.Package, tmp_path: Path) -> None:
    for name in ("one", "two/deeper"):
        files = tmp_path / name
        shutil.copytree(package.files / "carlake" / "refresh", files / "carlake" / "refresh", ignore=_BYTECODE)
        build.compiled(files, build.own_sources(files))
    one, two = (build.contents_of(tmp_path / name) for name in ("one", "two/deeper"))
    assert len(one) > 20 and build.code_of(one) == build.code_of(two)
    same = dict(build.contents_of(package.files))
    assert {name: path.read_bytes() for name, path in one} == {name: same[name].read_bytes() for name, _ in one}


_BYTECODE = shutil.ignore_patterns("__pycache__")


def test_nothing_in_it_tells_who_built_it(package: function.Package) -> None:
    own = [path for name, path in build.contents_of(package.files) if name.startswith("carlake")]
    assert len(own) > 100
    assert [path for path in own if str(build.PROJECT).encode() in path.read_bytes()] == []


def test_no_secret_is_in_carlakes_own_files(package: function.Package) -> None:
    detectors = ("AWSKeyDetector", "PrivateKeyDetector", "BasicAuthDetector", "JwtTokenDetector")
    texts = [*(package.files / "carlake").rglob("*.py"), *(package.files / "carlake").rglob("*.yaml")]
    assert len(texts) > 100
    with transient_settings({"plugins_used": [{"name": name} for name in detectors]}):
        assert [str(found) for path in texts for found in scan_file(str(path))] == []


def test_a_zip_has_the_same_bytes_whenever_it_is_made(tmp_path: Path) -> None:
    archives = []
    for number, order in enumerate((("b.py", "a/x.so"), ("a/x.so", "b.py"))):
        folder = tmp_path / str(number)
        for name in order:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        (folder / "b.py").chmod(0o600 + number * 0o44)
        contents = build.contents_of(folder)
        assert build.code_of(contents) == build.code_of(build.contents_of(tmp_path / "0"))
        build.zipped(contents, tmp_path / f"{number}.zip")
        archives.append((tmp_path / f"{number}.zip").read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(tmp_path / "0.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert modes == {"a/x.so": 0o755, "b.py": 0o644}, "Lambda runs it as another user"


def test_another_content_or_name_has_another_hash(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    codes = [build.code_of(build.contents_of(tmp_path))]
    (tmp_path / "a.py").write_text("2")
    codes.append(build.code_of(build.contents_of(tmp_path)))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    codes.append(build.code_of(build.contents_of(tmp_path)))
    assert len(set(codes)) == 3
    assert Package(VERSION, codes[0]).key("function.zip") == f"{PACKAGES}/carlake-{VERSION}-{codes[0]}/function.zip"
    assert build.code_of_name(tmp_path / f"carlake-{VERSION}-{codes[0]}") == codes[0]


def test_a_package_that_does_not_import_itself_gets_no_name(package: function.Package, tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(package.files, files, copy_function=lambda one, other: Path(other).hardlink_to(one))
    shutil.rmtree(files / "boto3")
    with pytest.raises(build.BuildError, match=r"does not import itself(.|\n)*boto3"):
        build.imports_itself(files)


def test_only_what_debuggers_read_is_cut_off(tmp_path: Path) -> None:
    import msgspec._core

    other = tmp_path / "msgspec"
    shutil.copytree(Path(msgspec._core.__file__).parent, other)
    (compiled,) = other.glob("_core.*.so")
    before = compiled.stat().st_size
    cut(compiled)
    after = compiled.read_bytes()
    assert len(after) < before
    cut(compiled)
    assert compiled.read_bytes() == after
    done = build._python(
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]\nimport msgspec\n"
        "print(msgspec.__file__, msgspec.json.decode(b'[1]'))",
    )
    assert done.stdout.split()[1:] == ["[1]"] and str(tmp_path) in done.stdout, done.stderr
    text = tmp_path / "text.so"
    text.write_text("no program")
    cut(text)
    assert text.read_text() == "no program"


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match=r"Python 3\.99"):
        build.build(tmp_path / "out", "3.99")
    assert not (tmp_path / "out").exists()


def test_two_builds_give_the_same_package(tmp_path: Path) -> None:
    built = [build.build(tmp_path / name) for name in ("one", "two")]
    assert built[0].code == built[1].code and built[0].unpacked == built[1].unpacked
    assert [path.name for path in built[0].files] == [build.WHEEL, "function.zip", SCRIPT]
    assert built[0].folder.name == f"carlake-{VERSION}-{built[0].code}"
    with zipfile.ZipFile(built[0].folder / "function.zip") as archive:
        assert archive.read(CODE).decode() == built[0].code, "the code says itself which it is"
    for one, two in zip(built[0].files, built[1].files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
