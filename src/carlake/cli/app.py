"""All commands, and how errors, interrupts and closed pipes end a call."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from carlake.cli import (
    beyond,
    compare,
    deploy,
    doctor,
    flow,
    forget,
    interrupts,
    look,
    maintain,
    mend,
    records,
    releases,
    service,
    start,
)
from carlake.cli.exits import FAILED, NOBODY_READS, WRONG_USAGE, code_of
from carlake.cli.help import Carlake, Command
from carlake.cli.invocation import NobodyReadsError, command
from carlake.cli.terminal import colored
from carlake.errors import CarlakeError, NotFoundError
from carlake.version import VERSION

app = typer.Typer(
    cls=Carlake,
    name="carlake",
    help="Files of car events in; three right tables out, exactly once.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"carlake {VERSION}")
        raise typer.Exit


@app.callback()
@command
def _carlake(
    invocation: Any,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    pass


for module in (start, flow, service, look, compare, records, doctor, releases, mend, maintain, forget, beyond, deploy):
    module.register(app)


@app.command("version", cls=Command, hidden=True)
@command
def version(invocation: Any) -> None:
    """The version of carlake."""
    if invocation.json:
        invocation.document({"version": VERSION})
    else:
        typer.echo(f"carlake {VERSION}")


def call(arguments: list[str]) -> int:
    """Run one command; the exit code. No error leaves a stack trace unless `--debug` is among the arguments."""
    debug, as_json = ("--debug" in arguments), ("--json" in arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal or file that cannot show a character gets an escape in its place, never an error.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments or ["--help"], prog_name="carlake", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (BrokenPipeError, NobodyReadsError):
        # Who read us has enough. What Python still holds would be an error when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except typer.Abort:
        _say("Stopped: the question was not answered with yes.", "Nothing was changed. --yes answers it.", as_json)
        return FAILED
    except SystemExit as stop:  # Typer's completion ends so
        return stop.code if isinstance(stop.code, int) else 0
    except CarlakeError as error:
        if debug:
            _trace()
        _say(error.what, error.advice, as_json)
        return WRONG_USAGE if isinstance(error, NotFoundError) else code_of(error)
    except TyperException as error:
        _say(*_wrong_usage(error), as_json=as_json)
        return error.exit_code
    except OSError as error:
        if debug:
            _trace()
        file = f"{error.filename}: " if error.filename else ""
        _say(f"{file}{error.strerror or error}.", _mend(error), as_json)
        return code_of(error)
    except Exception as error:  # noqa: BLE001  (the last place where an error can be told in a person's words)
        if debug:
            _trace()
        what = " ".join(str(error).split()) or "no message"
        _say(f"Unexpected {type(error).__name__}: {what[:500]}", "Add --debug to see where this arose.", as_json)
        return code_of(error)


def _mend(error: OSError) -> str:
    """What to do about a file that cannot be had."""
    if not isinstance(error.filename, str):
        return "Add --debug to see where this arose."
    folder = Path(error.filename).absolute().parent
    if isinstance(error, FileNotFoundError) and not folder.is_dir():
        return f"Check the path, or make the folder {folder} first."
    if isinstance(error, PermissionError):
        return "Check who may read and write there, or give another path."
    return "Check the path, or give another."


def _wrong_usage(error: TyperException) -> tuple[str, str]:
    message = error.format_message().strip().removeprefix("Invalid value: ")
    path = getattr(getattr(error, "ctx", None), "command_path", "carlake")
    possible = list(getattr(error, "possibilities", None) or [])
    if (option := getattr(error, "option_name", None)) and message.startswith("No such option"):
        message = f"There is no option {option}."
        if possible:
            message += f" Did you mean {' or '.join(sorted(possible))}?"
    elif message.startswith("No such command"):
        message = message.replace("No such command", "There is no command", 1).replace("'", "")
        message = f"{message.split(', ')[0].rstrip('?')}?" if "Did you mean" in message else message
    message = message if message.endswith((".", "?")) else f"{message}."
    return message, f"{path} --help says what it takes."


def _say(what: str, advice: str, as_json: bool) -> None:
    if interrupts.seen():
        return  # what an interrupt breaks off looks like errors, and is none
    if as_json:
        json.dump({"error": {"what": what, "advice": advice}}, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
        sys.stdout.flush()
    label = typer.style("Error:", fg="red", bold=True) if colored(sys.stderr) else "Error:"
    sys.stderr.write(f"{label} {_clean(what)}\n")
    if advice:
        sys.stderr.write(textwrap.indent(_clean(advice), "  ") + "\n")


def _clean(text: str) -> str:
    """Without control characters, so that a landed name cannot move the cursor or fake a message."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _trace() -> None:
    import traceback

    traceback.print_exc()
