"""What went wrong in Spark, in a line: its own messages have every line of code that led there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

_LONGEST = 500


class WorkFailedError(Exception):
    """Spark did not do a piece of work; the text is what the worker, or Spark, said of it."""


@contextmanager
def in_short() -> Iterator[None]:
    """What Spark raises in here is raised as WorkFailedError."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise WorkFailedError(reason(error)) from error


def reason(error: Exception) -> str:
    """What a worker's Python said last, or Spark itself first."""
    lines = [line.strip(" :") for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("An error occurred while calling"):
        del lines[0]  # which says nothing of what it was about
    said = [
        line
        for line, after in zip(lines, chain(lines[1:], [""]), strict=True)
        if ("Error" in line.partition(":")[0] or "Exception" in line.partition(":")[0]) and not line.startswith("at ")
    ]
    return (said[-1] if said and "Traceback" in str(error) else lines[0] if lines else type(error).__name__)[:_LONGEST]
