"""Every error that carlake raises on purpose: what happened, to what, and what to do next."""

from __future__ import annotations


class CarlakeError(Exception):
    """Base of all errors a user can meet.

    `what` says what happened and to which file, table or setting; `advice` says what to do next. Both are shown.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what if not advice else f"{what}\n{advice}")
        self.what = what
        self.advice = advice


class SettingsError(CarlakeError):
    """A setting is missing, unknown or has a value that cannot be used."""


class ContractError(CarlakeError):
    """A contract or rules file has a mistake; `what` names the file and line, `advice` what is allowed there."""


class LakeError(CarlakeError):
    """The lake cannot be opened: moved, newer, or not a lake."""


class NoLakeError(LakeError):
    """A store was asked, and holds no lake at this place."""


class NotFoundError(CarlakeError):
    """A table, column, run, snapshot, contract or path that was named does not exist."""


class QueryError(CarlakeError):
    """A query was refused, failed, or ran out of time."""


class SchemaError(CarlakeError):
    """Rows are not of the declared columns, order or types; nothing was written."""


class ReadError(CarlakeError):
    """One landed object could not be read now; it is tried again at the next run."""


class CommitRefusedError(CarlakeError):
    """Main moved since the base was read: nothing was published, plan again from the top.

    `surely_not_landed` is false where an earlier try of the same commit had an unclear outcome: the staged snapshot may
    have landed and been succeeded since, so its files must be kept.
    """

    def __init__(self, what: str, advice: str = "", *, surely_not_landed: bool = True) -> None:
        super().__init__(what, advice)
        self.surely_not_landed = surely_not_landed


class CommitUnknownError(CarlakeError):
    """The catalog neither confirmed nor refused a commit within the retries; the staged files were kept."""


class DefinitionChangedError(CarlakeError):
    """This process would build a table differently from how it was built; `carlake rebuild` adopts the change."""


class QueueError(CarlakeError):
    """A queue cannot be asked. `lasting`: only a person can mend it."""

    def __init__(self, what: str, advice: str = "", *, lasting: bool = False) -> None:
        super().__init__(what, advice)
        self.lasting = lasting


class DamagedError(CarlakeError):
    """A file of a table is not what was written: a bit flipped, a part is missing, or it was exchanged."""
