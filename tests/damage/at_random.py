"""A lake whose files are damaged at random, one at a time: it is said which file it is, or nothing is wrong with the rows."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from carlake.engines.manifests import forget_cached
from carlake.storage.checksums import recorded
from crashes.operations import first_objects, more_objects
from lakes import held, lakehouse

Harm = Callable[[Path, random.Random], None]


def flip_a_bit(path: Path, chance: random.Random) -> None:
    """One bit is another."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def remove(path: Path, _: random.Random) -> None:
    """The file is gone."""
    path.unlink()


def cut(path: Path, chance: random.Random) -> None:
    """The file ends early."""
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


HARMS: dict[str, Harm] = {"a bit flipped": flip_a_bit, "removed": remove, "cut": cut}


@dataclass
class Damaged:
    """What came of it: by kind of file, how often the file was named and how often the rows were right without a word."""

    named: Counter[str] = field(default_factory=Counter)
    harmless: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def damage(folder: Path, times: int, seed: int = 0) -> Damaged:
    """Damage one file of a lake, look, and put it back, so many times."""
    chance, outcome = random.Random(seed), Damaged()
    with lakehouse(folder / "lake") as house:
        for fill in (first_objects, more_objects):
            fill(house.lake.landing)
            assert house.run().status == "succeeded"
        wanted = held(house)
    files = [path for path in (folder / "lake" / "warehouse").rglob("*") if path.is_file()]
    kinds: dict[str, list[Path]] = {"catalog": [folder / "lake" / "catalog.db"]}
    for path in files:
        kinds.setdefault(_kind(path), []).append(path)
    for _ in range(times):
        kind, name = chance.choice(sorted(kinds)), chance.choice(["a bit flipped"] * 3 + ["removed", "cut"])
        path = chance.choice(sorted(kinds[kind]))
        kept = folder / "kept"
        shutil.copy2(path, kept)
        HARMS[name](path, chance)
        what = _look(folder, path, wanted, [each.stem for each in kinds[kind]])
        if what is None:
            outcome.harmless[kind] += 1
        elif what:
            outcome.wrong.append(f"{kind} {path.name} {name}: {what}")
        else:
            outcome.named[kind] += 1
        shutil.copy2(kept, path)
    return outcome


def _kind(path: Path) -> str:
    if path.suffix != ".avro":
        # A table's first metadata, before it has any snapshot, is PyIceberg's own and has no checksum.
        return path.suffix[1:] if recorded(str(path)) else "first metadata"
    return "manifest list" if path.name.startswith("snap-") else "manifest"


def _look(folder: Path, path: Path, wanted: object, _: list[str]) -> str | None:
    """Empty where the file is named; None where nothing is said and the rows are right; else what is wrong."""
    forget_cached()
    said: list[str] = []
    rows = None
    try:
        with lakehouse(folder / "lake") as house:
            said = [str(problem) for problem in house.verify(deep=True).problems]
            rows = held(house)
    except Exception as error:  # noqa: BLE001  (it is what it says that counts)
        said.append(f"{type(error).__name__}: {error}")
    if any(path.name in text for text in said):
        return ""
    if path.name == "catalog.db" and any("catalog" in text for text in said):
        return ""
    if said:
        return f"the file is not named: {said[0][:300]}"
    return None if rows == wanted else "other rows, and nothing is said"
