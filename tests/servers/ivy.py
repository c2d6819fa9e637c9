"""Java libraries and programs by their coordinates, with what they depend on: fetched once, by the Ivy in Spark's jars.

Ivy's own default resolver finds them, as it does for `spark.jars.packages`; so no address stands here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from pathlib import Path
from xml.sax.saxutils import quoteattr

from servers.java import java
from servers.provide import PROGRAMS, called, locked

_COORDINATE = re.compile(
    r"(?P<group>[^:@\s]+):(?P<name>[^:@\s]+):(?P<version>[^:@\s]+)(:(?P<classifier>[^:@\s]+))?(@(?P<ext>[^:@\s]+))?"
)


def jars(*coordinates: str, alone: bool = False) -> list[Path]:
    """The files of these coordinates and of all that they need at run time; `alone`: of these only.

    A coordinate is `group:name:version`, with `:classifier` or `@extension` (`@tar.gz`, `@zip`) after it where it is not
    the plain jar. Two coordinates may differ in that alone. Fetched once; nothing is asked of the network after that.
    """
    wanted = hashlib.sha256("\n".join([*sorted(set(coordinates)), str(alone)]).encode()).hexdigest()[:16]
    found = PROGRAMS / "jars" / f"{wanted}.path"
    if not found.exists():
        with locked(_cache(alone, wanted)):
            if not found.exists():
                found.parent.mkdir(parents=True, exist_ok=True)
                _resolve(coordinates, alone, found, _cache(alone, wanted))
    return [Path(file) for file in found.read_text(encoding="utf-8").split(os.pathsep)]


def class_path(files: list[Path]) -> str:
    """The files as `java -cp` takes them."""
    return os.pathsep.join(map(str, files))


def _resolve(coordinates: tuple[str, ...], alone: bool, found: Path, cache: str) -> None:
    """Fetch the files into Ivy's cache, and write the list of them."""
    asked, unfinished = found.with_suffix(".xml"), found.with_suffix(".unfinished")
    text, extensions = _module(coordinates, alone)
    asked.write_text(text, encoding="utf-8")
    command = [str(java(11, 99)), "-jar", str(_ivy()), "-warn", "-ivy", str(asked), "-confs", "default"]
    command += ["-cache", str(PROGRAMS / cache), "-cachepath", str(unfinished), "-types", "jar", "bundle", *extensions]
    output = called(command)
    files = [Path(file) for file in unfinished.read_text(encoding="utf-8").strip().split(os.pathsep) if file]
    missing = [file for file in files if not file.is_file()]
    if missing or len(files) < len(set(coordinates)):
        raise RuntimeError(f"Not all of {', '.join(coordinates)} could be had; Ivy says:\n{output[-4000:]}")
    unfinished.write_text(os.pathsep.join(map(str, files)), encoding="utf-8")
    unfinished.rename(found)


def _module(coordinates: tuple[str, ...], alone: bool) -> tuple[str, list[str]]:
    """Ivy's description of what is wanted, and the kinds of files that are not jars."""
    modules: dict[tuple[str, str, str], set[tuple[str, str]]] = {}
    for coordinate in coordinates:
        parts = _COORDINATE.fullmatch(coordinate)
        if parts is None:
            raise ValueError(f"{coordinate!r} is not group:name:version[:classifier][@extension]")
        key = (parts["group"], parts["name"], parts["version"])
        modules.setdefault(key, set()).add((parts["ext"] or "jar", parts["classifier"] or ""))
    lines = []
    for (group, name, version), files in modules.items():
        artifacts = "".join(
            f'<artifact name={quoteattr(name)} type="{ext}" ext="{ext}"'
            + (f" m:classifier={quoteattr(classifier)}" if classifier else "")
            + "/>"
            for ext, classifier in sorted(files)
        )
        lines.append(
            f"<dependency org={quoteattr(group)} name={quoteattr(name)} rev={quoteattr(version)}"
            f' conf="default->{"master" if alone else "default"}" transitive="{str(not alone).lower()}">'
            f"{artifacts if files != {('jar', '')} else ''}</dependency>"
        )
    text = (
        '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven"><info organisation="carlake" module="tests"/>'
        f'<configurations><conf name="default"/></configurations><dependencies>{"".join(lines)}</dependencies></ivy-module>'
    )
    return text, sorted({ext for files in modules.values() for ext, _ in files} - {"jar"})


def _cache(alone: bool, wanted: str) -> str:
    """The cache, with its lock: what is wanted alone has its own, so that nothing waits for a large program."""
    return f"ivy-{wanted}" if alone else "ivy"


def _ivy() -> Path:
    """Ivy's jar, of the Spark that is installed here; Spark itself is not started."""
    spark = importlib.util.find_spec("pyspark")
    if spark is None or spark.origin is None:
        raise RuntimeError("pyspark is not installed; `make test` installs it with what else the tests need.")
    return next((Path(spark.origin).parent / "jars").glob("ivy-*.jar"))
