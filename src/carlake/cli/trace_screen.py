"""How a trace looks to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carlake.cli.invocation import Invocation
    from carlake.look.trace import Trace


def trace_document(found: Trace) -> Any:
    """A trace as JSON."""
    return found


def show_trace(invocation: Invocation, found: Trace) -> None:
    """A trace, from gold back to the files."""
