"""Listings of an object store by obstore, taken up again where one breaks off."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_TRIES = 5
_FIRST_WAIT_SECONDS = 0.05


def pages(
    client: Any, folder: str, may_pass: Callable[[Exception], bool], behind: str | None = None
) -> Iterator[Sequence[Any]]:
    """The pages of a listing of a folder with all below it, in the order of the keys; none is empty.

    A listing that broke off is over for its client, which would say that nothing more came. So it is begun again behind
    the last key that it gave, a few times.
    may_pass  whether a failure may be over soon
    behind    only keys that sort behind this one
    Raises what obstore does.
    """
    import obstore
    from obstore.exceptions import GenericError

    broken = 0
    while True:
        try:
            for page in obstore.list(client, folder or None, offset=behind):
                if page:
                    yield page
                    behind, broken = page[-1]["path"], 0
            return
        except GenericError as failure:
            broken += 1
            if broken >= _TRIES or not may_pass(failure):
                raise
            time.sleep(_FIRST_WAIT_SECONDS * 2**broken * random.uniform(0.5, 1))  # noqa: S311  (jitter, not a secret)
