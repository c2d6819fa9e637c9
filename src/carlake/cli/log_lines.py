"""The lake's log for people: one calm line for each thing that happened."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from rich.text import Text

from carlake import journal
from carlake.cli.screen import BAD, GOOD, QUIET, WARN, count, number, one_line, seconds
from carlake.cli.terminal import colored
from carlake.journal import WATCH_BEGUN, WATCH_ENDED, Line

if TYPE_CHECKING:
    from carlake.cli.invocation import Invocation

_LEVELS = {"info": "", "warning": WARN, "error": BAD}
_STATUS = {"succeeded": GOOD, "partial": WARN, "failed": BAD}


def written(stream: IO[str], *, brief: bool) -> Callable[[Line], None]:
    """Writes each line to a stream: for people where it is a terminal, else as JSON. `brief`: one line a batch on a
    terminal, and what went wrong."""
    if not stream.isatty():

        def as_json(line: Line) -> None:
            stream.write(journal.as_json(line))
            stream.flush()

        return as_json
    show = shown(stream)

    def for_people(line: Line) -> None:
        if not brief or line["event"] not in (journal.BEGUN, journal.LANDED, journal.REFRESHED, journal.QUARANTINED):
            show(line)

    return for_people


def shown(stream: IO[str], *, dated: bool = False) -> Callable[[Line], None]:
    """Writes each line to a stream as people read it; `dated`, for lines that may be of another day."""
    from rich.console import Console

    console = Console(
        file=stream, highlight=False, markup=False, emoji=False, color_system="auto" if colored(stream) else None
    )

    def show(line: Line) -> None:
        console.print(in_words(line, dated=dated), soft_wrap=True)
        stream.flush()

    return show


def in_words(line: Line, *, dated: bool = False) -> Text:
    """A line of the log as one line of text; further lines of an error below it, indented."""
    event = str(line.get("event", ""))
    moment = str(line.get("time", ""))[:19].replace("T", " ")
    text = Text.assemble((f"{moment if dated else moment[11:]}Z", QUIET), "  ")
    run_id = str(line.get("run_id", ""))
    if run_id:
        text.append(f"{run_id}  ", style=QUIET)
    say = _WORDS.get(event, _any)
    text.append_text(say(line))
    return text


def _done(line: Line) -> Text:
    if line.get("outcome") == journal.NOTHING and line.get("status") == "succeeded":
        known = int(line.get("files_known", 0))
        why = f"{count(known, 'file')} with known content, which {'adds' if known == 1 else 'add'} nothing"
        return Text.assemble(why if known else journal.NOTHING, (f"  {seconds(float(line.get('seconds', 0)))}", QUIET))
    quarantined = int(line.get("quarantined", 0))
    text = Text.assemble(
        (str(line.get("status")), _STATUS.get(str(line.get("status")), "")),
        f"  {count(int(line.get('files', 0)), 'file')}, {count(int(line.get('records', 0)), 'record')}",
        (f"  {number(quarantined)} quarantined", WARN) if quarantined > 0 else "",
    )
    if duplicates := int(line.get("duplicates", 0)):
        text.append(f"  {count(duplicates, 'duplicate')}", style=QUIET)
    if known := int(line.get("files_known", 0)):
        text.append(f"  {number(known)} known already", style=QUIET)
    return text.append(f"  {seconds(float(line.get('seconds', 0)))}", style=QUIET)


def _table(line: Line) -> Text:
    rows = f"{number(int(line.get('rows_out', 0)))} rows written"
    removed = int(line.get("rows_removed", 0))
    text = Text.assemble(str(line.get("table")), f"  {rows}", f", {number(removed)} taken out" if removed else "")
    if refusals := int(line.get("refusals", 0)):
        text.append(f"  after {count(refusals, 'refusal')}", style=QUIET)
    return text.append(f"  {seconds(float(line.get('seconds', 0)))}", style=QUIET)


def _error(line: Line) -> Text:
    style = _LEVELS.get(str(line.get("level")), "")
    table, event = str(line.get("table", "")), str(line["event"])
    first, *more = str(line.get("error", "")).split("\n")
    what = ": ".join(filter(None, [table, event if event not in (journal.FAILED, journal.TROUBLE) else ""]))
    text = Text.assemble((f"{what}: " if what else "", style), (one_line(first), "" if what else style))
    for further in more:
        text.append(f"\n           {one_line(further)}")
    if (again := line.get("again_seconds")) is not None:
        text.append(f"  tried again in {again} s", style=QUIET)
    return text


def _not_taken(line: Line) -> Text:
    what = one_line(str(line.get("object", line.get("objects", ""))))
    text = Text.assemble((what, WARN), " ", one_line(str(line.get("why", ""))))
    return text.append(f"  {one_line(str(line.get('advice', '')))}", style=QUIET)


def _quarantined(line: Line) -> Text:
    records = count(int(line.get("records", 0)), "record")
    return Text.assemble((f"{records} went to quarantine", WARN), ("  carlake quarantine says why", QUIET))


def _watch_began(line: Line) -> Text:
    prefixes = ", ".join(map(str, line.get("prefixes", ())))
    return Text.assemble(f"watching {one_line(prefixes)}", ("  Ctrl-C or carlake stop ends it", QUIET))


def _watch_ended(line: Line) -> Text:
    did = f"{count(int(line.get('runs', 0)), 'run')}, {count(int(line.get('files', 0)), 'file')}"
    return Text.assemble(f"ended: {line.get('reason')}", (f"  {did}", QUIET))


def _begun(line: Line) -> Text:
    files = int(line.get("files", 0))
    return Text(f"{line.get('trigger')} began" + (f" on {count(files, 'file')}" if files else ""))


def _any(line: Line) -> Text:
    hidden = ("time", "level", "event", "run_id", "pid")
    more = "  ".join(f"{name}={_value(value)}" for name, value in line.items() if name not in hidden)
    return Text.assemble((str(line.get("event")), _LEVELS.get(str(line.get("level")), "")), f"  {more}" if more else "")


def _value(value: Any) -> str:
    return one_line(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


_WORDS: dict[str, Callable[[Line], Text]] = {
    journal.BEGUN: _begun,
    journal.DONE: _done,
    journal.LANDED: _table,
    journal.REFRESHED: _table,
    journal.FAILED: _error,
    journal.TROUBLE: _error,
    journal.LEFT: _error,
    journal.CIRCUIT[True]: _error,
    journal.CIRCUIT[False]: _error,
    journal.NOT_TAKEN: _not_taken,
    journal.QUARANTINED: _quarantined,
    WATCH_BEGUN: _watch_began,
    WATCH_ENDED: _watch_ended,
}


def show_log(invocation: Invocation, run_id: str, *, follow: bool) -> None:
    """The lines of one run: for people, or as one JSON array. Raises NotFoundError."""
    from carlake import lake as lakes

    where = journal.folder(lakes.open(invocation.lake, file=invocation.settings))
    if run_id == "last" and not follow:
        run_id = _newest(invocation)
    lines = journal.lines_of(where, run_id, follow=follow)
    if invocation.json:
        invocation.document(list(lines))
        return
    show = shown(sys.stdout, dated=True)
    for line in lines:
        show(line)


def _newest(invocation: Invocation) -> str:
    """The run that `carlake runs last` shows; where no table can be read, the newest in the log."""
    from carlake.errors import NotFoundError

    try:
        with invocation.open() as house:
            return str(house.runs("last")["run_id"][0].as_py())
    except NotFoundError:
        raise
    except Exception:  # noqa: BLE001  (the log is what one reads where the rest is broken)
        return "last"
