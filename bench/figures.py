"""The figures of a run: as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal


def footer(about: Mapping[str, Any]) -> str:
    """What a benchmark ran on, and with which versions: the end of a page."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['system']}, {about['cores']} cores, DuckDB on {about['threads']} threads, "
        f"load {about['load_at_start']} at the start\nPython {about['python']}, {versions}"
    )


class BenchError(Exception):
    """What would make a figure mean nothing: a process failed, or its result is wrong."""


Of = Literal["ratio", "seconds", "peak_bytes", "peak_ratio"]


@dataclass(frozen=True)
class Target:
    """The most that a figure may be: a ratio of times, seconds, bytes of memory or a ratio of memory."""

    of: Of
    most: float

    def __str__(self) -> str:
        match self.of:
            case "ratio":
                return f"<= {self.most:g} x"
            case "seconds":
                return f"<= {self.most:g} s"
            case "peak_bytes":
                return f"<= {memory(self.most)}"
            case "peak_ratio":
                return f"<= {self.most:g} x memory"


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    seconds, cpu_seconds  the medians; `slowest` is the greatest of `seconds`, `runs` how many there were
    ratio, cpu_ratio      to the section's yardstick, measured between the same runs
    peak_bytes            greatest memory of any run; peak_ratio: to the same with fewer events
    target, reached       the most it may be, and whether it was that; None where there is no target
    details               for the JSON: seconds and rows of each table
    """

    what: str
    seconds: float | None = None
    slowest: float | None = None
    runs: int = 1
    ratio: float | None = None
    cpu_seconds: float | None = None
    cpu_ratio: float | None = None
    peak_bytes: int | None = None
    peak_ratio: float | None = None
    target: Target | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        value = getattr(self, self.target.of)
        return value is not None and bool(value <= self.target.most)


@dataclass(frozen=True)
class Section:
    """Figures that belong together. `yardstick` says what their ratios are to; `notes` stand below them."""

    name: str
    title: str
    yardstick: str
    figures: Sequence[Figure]
    notes: Sequence[str] = ()


_HEADS = ("what", "seconds", "slowest", "ratio", "cpu s", "cpu ratio", "memory", "target", "reached")


def table(sections: Sequence[Section]) -> str:
    """All sections as text; columns are as wide as their widest cell."""
    rows = {section.name: [_cells(figure) for figure in section.figures] for section in sections}
    widths = [
        max(len(row[place]) for row in (_HEADS, *chain.from_iterable(rows.values()))) for place in range(len(_HEADS))
    ]
    lines = []
    for section in sections:
        lines.append(section.title)
        if section.figures:
            lines += [f"  ratio: to {section.yardstick}", "", _line(_HEADS, widths)]
            lines += [_line(row, widths) for row in rows[section.name]]
        lines += ["", *(f"  {note}" for note in section.notes)]
        lines += [""] if section.notes else []
    return "\n".join(lines).rstrip() + "\n"


def document(about: Mapping[str, Any], sections: Sequence[Section]) -> dict[str, Any]:
    """All sections as plain data."""
    return {
        **about,
        "sections": [
            {**asdict(section), "figures": [_plain(figure) for figure in section.figures]} for section in sections
        ],
    }


def paste(page: Path, mark: str, text: str) -> None:
    """Put `text` as a block between the comments `<!-- mark -->` and `<!-- /mark -->` of a page."""
    before, opening, rest = page.read_text(encoding="utf-8").partition(f"<!-- {mark} -->")
    _, closing, after = rest.partition(f"<!-- /{mark} -->")
    if not closing:
        raise BenchError(f"{page} has no place for the table: <!-- {mark} --> and <!-- /{mark} -->.")
    page.write_text(f"{before}{opening}\n```text\n{text.rstrip()}\n```\n{closing}{after}", encoding="utf-8")


def memory(size: float) -> str:
    """Bytes for people: 1.9 GB, 230 MB. Powers of 1000."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _plain(figure: Figure) -> dict[str, Any]:
    target = figure.target and {"of": figure.target.of, "most": figure.target.most}
    return {**asdict(figure), "target": target, "reached": figure.reached}


def _cells(figure: Figure) -> tuple[str, ...]:
    reached = figure.reached
    return (
        figure.what,
        _seconds(figure.seconds),
        _seconds(figure.slowest) if figure.runs > 1 else "",
        _times(figure.ratio),
        _seconds(figure.cpu_seconds),
        _times(figure.cpu_ratio),
        "" if figure.peak_bytes is None else memory(figure.peak_bytes) + _beside(figure.peak_ratio),
        "" if figure.target is None else str(figure.target),
        "" if reached is None else "yes" if reached else "NO",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join(["", first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} x"


def _beside(ratio: float | None) -> str:
    return "" if ratio is None else f" ({ratio:.2f} x)"
