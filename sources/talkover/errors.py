"""Everything that can go wrong in a way a user can act on.

    TalkoverError
    ├── ConfigurationError      wrong usage or settings: no request was sent
    ├── AuthenticationError     401, 403
    ├── ApiError                any other refusal, with the server's own message
    ├── UnexpectedPayload       an answer of the wrong shape
    ├── IncompleteListing       pages that never add up to the API's total
    ├── InvalidRow              a row that does not fit its model
    ├── SuspiciousRemoval       a listing that would remove too many rows or values
    ├── RunInProgress           another load of the pipeline or dataset is at work, or was meanwhile
    ├── NothingLoaded           there is nothing to read yet
    ├── ReportError             a notebook failed: no report was written
    ├── CallsError              everything else is loaded, but not all calls that were due
    └── LoadError               the destination or dlt refused
        └── ViewError           the data is loaded, but a view could not be created

A message names what was requested, what came and what to do. None holds a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .text import visible

NAMED_VIEWS = 5
"""Of many that failed; `ViewError.failed` has all of them."""


class TalkoverError(Exception):
    """Base of all errors of this package; `exit_code` is what the command line exits with."""

    exit_code = 1

    def __str__(self) -> str:
        """One line, whatever it quotes of a server's answer or of the configuration."""
        return visible(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook: the sentence alone."""
        return [f"{type(self).__name__}: {self}"]


class ConfigurationError(TalkoverError):
    """A setting or argument is missing or cannot work."""

    exit_code = 2


class AuthenticationError(TalkoverError):
    """The API refused the token (401) or what it may do (403). Never retried."""


class ApiError(TalkoverError):
    """The API answered with an error, or not at all.

    `status` is the HTTP status, None where no answer came. `fields` holds the messages of a 422 by parameter.
    """

    def __init__(self, message: str, status: int | None = None, fields: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields or {}


class UnexpectedPayload(TalkoverError):
    """The API answered 200 with something that is not a list of objects in `data`."""


class IncompleteListing(TalkoverError):
    """A listing did not add up in any reading."""


class InvalidRow(TalkoverError):
    """A row of the API does not fit its model: endpoint, id, field and value are in the message."""


class SuspiciousRemoval(TalkoverError):
    """A complete listing lacks most of the numbers known before, or a field that most had, or lists those of another
    environment. Nothing was loaded.
    """


class RunInProgress(TalkoverError):
    """Another load of the same pipeline or dataset is at work, or finished while this one was. Run it again."""


class NothingLoaded(TalkoverError):
    """The destination holds no such table or view yet."""


class ReportError(TalkoverError):
    """A notebook failed. No report was written, an earlier one is as it was."""


class CallsError(TalkoverError):
    """Everything else is loaded, and calls up to some day; the next run goes on from there.

    `summary` is the load's, and the cause is the error that the calls ended in.
    """

    def __init__(self, cause: TalkoverError, summary: Any = None) -> None:
        super().__init__(f"everything but the last calls is loaded, and the next run goes on from there: {cause}")
        self.exit_code = cause.exit_code
        self.summary = summary


class LoadError(TalkoverError):
    """The listing was read, but could not be loaded."""


class ViewError(LoadError):
    """The data is loaded; some views are not there or still those of an earlier version.

    `failed` is name to reason, `summary` is the load's.
    """

    def __init__(self, failed: Mapping[str, str], summary: Any = None) -> None:
        (first, reason), *others = failed.items()
        named = [name for name, _ in others[:NAMED_VIEWS]]
        more = [f"{len(others) - NAMED_VIEWS} more"] if len(others) > NAMED_VIEWS else []
        also = f"; nor could {', '.join([*named, *more])}" if others else ""
        super().__init__(f"the tables are as loaded, but view {first} could not be created: {reason}{also}")
        self.failed = failed
        self.summary = summary
