"""One call of the command line: the options that every command has, and what they open."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carlake.errors import CarlakeError

if TYPE_CHECKING:
    from datetime import datetime

    from carlake.cli.screen import Screen
    from carlake.lakehouse import Lakehouse
    from carlake.settings import Settings, SettingsText

DEFAULT_LAKE = "./lake"
SHARED = ("lake", "settings", "json", "debug")
"""The options that every command has; they may stand before and after the command's name."""

_LAKE = typer.Option(
    "--lake",
    metavar="DIR_OR_URI",
    help=f"Folder or s3://BUCKET/PREFIX. [{DEFAULT_LAKE}; CARLAKE_LAKE]",
    show_default=False,
)
_SETTINGS = typer.Option(
    "--settings", metavar="FILE", help="Settings (TOML), before the lake's own. [CARLAKE_SETTINGS]", show_default=False
)
_JSON = typer.Option("--json", help="One JSON document on standard output, nothing else.")
_DEBUG = typer.Option("--debug", help="Show where in the code an error arose.")
_SHARED = (
    inspect.Parameter("lake", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, _LAKE]),
    inspect.Parameter(
        "settings", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, _SETTINGS]
    ),
    inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, _JSON]),
    inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, _DEBUG]),
)


_COMMAND = re.compile(r"(?<=`)carlake [^`\n]+(?=`)|(?<=: )carlake [^`:\n]+$", re.MULTILINE)


@dataclass(frozen=True)
class Shared:
    """The shared options as given so far; None and False where they were not."""

    lake: str | None = None
    settings: str | None = None
    json: bool = False
    debug: bool = False

    def then(self, lake: str | None, settings: str | None, json: bool, debug: bool) -> Shared:
        """With what stands further to the right, which wins."""
        return replace(
            self,
            lake=self.lake if lake is None else lake,
            settings=self.settings if settings is None else settings,
            json=self.json or json,
            debug=self.debug or debug,
        )


class NobodyReadsError(Exception):
    """Who read standard output has enough, as `head` does. Not an OSError, which Typer would take for its own."""


class Invocation:
    """What a command works with: where the lake is, how to open it, and the screen.

    json      print one JSON document and nothing else on standard output
    lake      path of the lake, as given
    settings  a settings file, as given
    """

    def __init__(self, shared: Shared) -> None:
        self.json = shared.json
        self.lake = shared.lake or os.environ.get("CARLAKE_LAKE") or DEFAULT_LAKE
        settings = shared.settings or os.environ.get("CARLAKE_SETTINGS") or None
        self.settings = Path(settings) if settings else None

    @cached_property
    def screen(self) -> Screen:
        """Where people read."""
        from carlake.cli.screen import Screen

        return Screen(quiet=self.json)

    def load_settings(self, toml: Path | SettingsText | None = None) -> Settings:
        """Settings of all layers; `toml` is the lake's own file. Raises SettingsError."""
        from carlake.settings import Settings

        return Settings.load(lake=toml, file=self.settings)

    def open(self, clock: Callable[[], datetime] | None = None) -> Lakehouse:
        """The lake, which must be there. Raises LakeError, SettingsError."""
        from carlake import lake as lakes

        lake = lakes.open(self.lake, file=self.settings)
        from carlake.lakehouse import Lakehouse  # takes a second, so a lake that is not there is said before

        return Lakehouse(lake, self.load_settings(lake.toml), clock)

    def create(self) -> Lakehouse:
        """The lake, made if it is not there. Raises LakeError, SettingsError."""
        from carlake import lake as lakes
        from carlake.lakehouse import Lakehouse

        lake = lakes.create(self.lake, file=self.settings)
        return Lakehouse(lake, self.load_settings(lake.toml))

    @property
    def exists(self) -> bool:
        """Whether there is a lake, or something that says it is one."""
        from carlake import lake as lakes

        return lakes.is_there(self.lake, file=self.settings)

    @property
    def folder(self) -> Path:
        """The lake's folder as given, links not followed."""
        return Path(self.lake.removeprefix("file://")).expanduser()

    def hint(self, *words: str) -> str:
        """A command to paste next: it names this program and this lake."""
        options = [] if self.lake == DEFAULT_LAKE else ["--lake", self.lake]
        options += ["--settings", str(self.settings)] if self.settings else []
        return " ".join(map(shlex.quote, [program(), *words, *options]))

    def on_this_lake(self, advice: str) -> str:
        """Advice with this lake's options put into every carlake command that it names, so that it can be pasted.

        A command stands in back quotes, or after the last colon of a line up to its end. One that says where the lake
        is, and every one where the lake is the usual one, stays as it is.
        """
        options = self.hint().removeprefix(shlex.quote(program()))

        def here(found: re.Match[str]) -> str:
            return found[0] if "--lake" in found[0] else f"{found[0].rstrip('.')}{options}"

        return _COMMAND.sub(here, advice) if options else advice

    def working(self, what: str) -> AbstractContextManager[Callable[[str], None]]:
        """Say on a terminal what is being done, once it has lasted a second. Gives a function that changes the text."""
        from carlake.cli.progress import working

        return working(what, shown=not self.json)

    def document(self, value: Any) -> None:
        """Print the one JSON document, where that is asked for: dataclasses, Arrow tables, times and the like too."""
        from carlake.cli.document import plain

        json.dump(plain(value), sys.stdout, ensure_ascii=False, allow_nan=False, indent=2)
        sys.stdout.write("\n")


def command(function: Callable[..., None]) -> Callable[..., None]:
    """`function(invocation, ...)` as a callback for Typer, with the shared options beside its own."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    parameters = [
        inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
        *_SHARED,
    ]

    @wraps(function)
    def callback(ctx: typer.Context, **given: Any) -> None:
        before = ctx.obj if isinstance(ctx.obj, Shared) else Shared()
        shared = ctx.obj = before.then(*(given.pop(name) for name in SHARED))
        if ctx.invoked_subcommand is None:
            try:
                invocation = Invocation(shared)
                function(invocation, **given)
            except BrokenPipeError:
                raise NobodyReadsError from None
            except CarlakeError as error:
                error.advice = invocation.on_this_lake(error.advice)
                raise

    del callback.__wrapped__  # Typer shall see the signature below, not the function's own
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return callback


def program() -> str:
    """How this program was called, so that a command can be pasted: `carlake` where the shell finds it."""
    called = sys.argv[0]
    if Path(called).name != "carlake" or (found := shutil.which("carlake")) is None:
        return called if Path(called).name == "carlake" else "carlake"
    return "carlake" if Path(found).resolve() == Path(called).resolve() else called
