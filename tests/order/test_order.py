"""Any permutation, split and duplication of the input gives the same rows: those of the plain-Python model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from carlake.refresh.report import RunReport
from carlake.settings import Settings
from lakes import QUARANTINE, SILVER, Lakehouse, Landed, clear, expected, heads, held, lakehouse, put, rows_of
from model import accepted
from order.histories import RUNS, Object, arrangement, history

# A lake costs time, and histories without a common car are independent: several are played in one lake, each in an
# arrangement of its own.
_TOGETHER = 14
_EXAMPLES = 5
_CASES = 200

HISTORIES = st.tuples(*(history(f"H{number}") for number in range(_TOGETHER)))
Play = Callable[[Lakehouse, Path, Sequence[Object]], list[RunReport]]


def test_files_left_where_they_are(small_folder: Path) -> None:
    assert _cases(small_folder, _play_paths, Settings(threads=1)) * 3 >= _CASES


def test_files_in_the_lakes_landing_folder(small_folder: Path) -> None:
    assert _cases(small_folder, _play_landing, Settings(threads=1)) * 3 >= _CASES


def test_a_commit_for_every_few_files(small_folder: Path) -> None:
    assert _cases(small_folder, _play_paths, Settings(threads=1, batch_files=6)) * 3 >= _CASES


def _cases(folder: Path, play: Play, configured: Settings) -> int:
    """Play generated histories in generated arrangements; gives how many."""
    cases = 0
    number = itertools.count()

    @settings(max_examples=_EXAMPLES)
    @given(st.data(), HISTORIES)
    def check(data: st.DataObject, histories: tuple[list[Landed], ...]) -> None:
        nonlocal cases
        cases += len(histories)
        objects = data.draw(arrangement(histories))
        own = folder / str(next(number))
        try:
            with lakehouse(own / "lake", configured) as house:
                reports = play(house, own / "in", objects)
                _check(house, reports, objects, [landed for each in histories for landed in each])
        finally:
            clear(own)

    check()
    return cases


def _play_paths(house: Lakehouse, folder: Path, objects: Sequence[Object]) -> list[RunReport]:
    """Land each run's files from where they lie; in the end all of them once more, which has to change nothing."""
    reports, paths = [], []
    for run in range(RUNS):
        of_run = [str(path) for path in _write(folder / str(run), objects, run)]
        paths += of_run
        if of_run:
            reports.append(house.run(of_run))
    before = heads(house)
    again = house.run(paths)
    assert again.records == 0 and heads(house) == before
    return reports


def _play_landing(house: Lakehouse, folder: Path, objects: Sequence[Object]) -> list[RunReport]:
    """Land each run's files from the lake's own landing folder, with another process's run each time."""
    reports = []
    for run in range(RUNS):
        _write(house.lake.landing, objects, run)
        with lakehouse(house.lake.root, house.settings) as other:
            reports.append(other.run())
        assert not list(house.lake.landing.iterdir()), "what is committed is archived"
    return reports


def _write(folder: Path, objects: Sequence[Object], run: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        put(folder / f"{number}{each.suffix}", each.content, modified=each.modified)
        for number, each in enumerate(objects)
        if each.run == run
    ]


def _check(house: Lakehouse, reports: Sequence[RunReport], objects: Sequence[Object], landed: Sequence[Landed]) -> None:
    assert [report.status for report in reports] == ["succeeded"] * len(reports)
    rows, wanted = held(house), expected(landed)
    assert rows == wanted
    contents = {each.content: each.records for each in objects}
    records = [text for texts in contents.values() for text in texts]
    bad = [text for text in records if accepted(text.encode(), landed[0][1]) is None]
    assert sorted(row["raw"] for row in rows_of(house, QUARANTINE)) == sorted(bad)
    counts = (len(records), len(wanted[SILVER]), len(bad), len(records) - len(bad) - len(wanted[SILVER]))
    assert tuple(sum(each) for each in zip(*(_counts(report) for report in reports), strict=True)) == counts
    verified = house.verify()
    assert (verified.problems, verified.behind) == ((), ())
    assert verified.files == len(contents)
    assert (verified.records, verified.accepted, verified.quarantined, verified.duplicates) == counts


def _counts(report: RunReport) -> tuple[int, int, int, int]:
    return report.records, report.accepted, report.quarantined, report.duplicates
