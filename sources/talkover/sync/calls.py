"""Calls: read by windows of days, each proven whole, and only those sent that are new or differ.

    GET /calls?date_from=…&date_to=… → calls, and a row of call_windows: the ledger, by which the next run goes on

A call goes on changing for a while, so a day is read again until it is older than the lookback. In which time zone the
API's days are, and whether the last one is included, is documented nowhere: a window is requested with a day more on
both sides, and what comes twice is merged on its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from itertools import groupby

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from ..api.client import READINGS
from ..api.columns import read_table
from ..api.fields import CALL, CALLS
from ..api.listing import Listing
from ..api.reading import Json
from ..errors import ConfigurationError, IncompleteListing, UnexpectedPayload
from .changes import Changes, compare
from .compared import as_compared
from .destinations import refuse_unfit_values
from .fingerprints import with_fingerprints, with_position
from .held import WindowRead
from .listed import progress, with_environment
from .parties import CallerKey, with_parties
from .shared import CallOptions, Shared

DAY = timedelta(days=1)
FIRST_DAYS = 90
"""What a first run reads, unless it is told since when."""
MOST_AHEAD = 2 * DAY
"""So long after it began a day has passed in every time zone."""
SAME_RUN = timedelta(seconds=1)
"""Not every destination keeps microseconds."""


@dataclass(frozen=True)
class Window:
    """Days of calls in one environment, the first and the last included."""

    environment_key: str
    first_day: date
    last_day: date

    @property
    def filters(self) -> Mapping[str, str]:
        """What is asked for: a day more on both sides."""
        return {"date_from": (self.first_day - DAY).isoformat(), "date_to": (self.last_day + DAY).isoformat()}

    def __str__(self) -> str:
        return f"{self.first_day} to {self.last_day}"


@dataclass(frozen=True)
class CallsRead:
    """The calls of a window, which of them are new or differ, and the window's row in the ledger."""

    rows: pa.Table
    changes: Changes
    ledger_row: Json


def due_windows(
    environment_key: str,
    read: Iterable[WindowRead],
    observed_at: datetime,
    options: CallOptions,
    *,
    again: bool = False,
) -> list[Window]:
    """The windows that a run at `observed_at` reads, oldest first: all days that were never read since they last may
    have changed. `read` are the windows that were loaded; `again` takes them for unread, but those of this very run.
    """
    today = observed_at.date()
    read = [window for window in read if window.environment_key == environment_key]
    earliest = min((window.first_day for window in read), default=today - FIRST_DAYS * DAY)
    settled = {
        day for window in read for day in _settled_by(window, observed_at, options.lookback_days * DAY, again=again)
    }
    since = options.since or earliest
    due = [day for day in _days(since, today) if day not in settled]
    windows = []
    for _, run in groupby(enumerate(due), lambda place: place[1] - place[0] * DAY):
        days = [day for _, day in run]
        for start in range(0, len(days), options.window_days):
            of_window = days[start : start + options.window_days]
            windows.append(Window(environment_key, of_window[0], of_window[-1]))
    return windows


def _settled_by(window: WindowRead, observed_at: datetime, lookback: timedelta, *, again: bool) -> Iterator[date]:
    """The days of `window` that need not be read again."""
    if abs(window.observed_at - observed_at) < SAME_RUN:
        yield from _days(window.first_day, window.last_day)
    elif window.complete and not again:
        last = window.observed_at.date() - max(lookback + DAY, MOST_AHEAD)
        yield from _days(window.first_day, min(window.last_day, last))


def _days(first: date, last: date) -> list[date]:
    return [first + days * DAY for days in range((last - first).days + 1)]


class Calls:
    """The calls of one run. `numbers` are those that the account is known to hold.

    Raises ConfigurationError where the calls that are held were hashed with another key: nobody could count callers.
    """

    def __init__(self, shared: Shared, key: CallerKey, numbers: pa.ChunkedArray) -> None:
        self._shared = shared
        self._key = key
        self._numbers = numbers
        read = shared.held.call_windows()
        if others := {window.caller_key_id for window in read} - {key.id}:
            raise ConfigurationError(
                f"the calls that are loaded were hashed with another key (its id is {min(others)}, this one's is "
                f"{key.id}), so that a caller would count twice. Set caller_key to that key; to begin anew with this "
                "one drop the tables calls and call_windows"
            )
        again = shared.options.full_refresh
        self._due = [
            window
            for environment in shared.clients
            for window in due_windows(environment, read, shared.observed_at, shared.options.calls, again=again)
        ]

    def read(self) -> Iterator[CallsRead]:
        """Each window that is due, one in memory at a time.

        Raises what a client raises, and IncompleteListing for a window that never adds up, unless that is accepted.
        """
        return map(self._read, range(len(self._due))[: self._shared.options.calls.most_windows])

    def _read(self, place: int) -> CallsRead:
        window, left = self._due[place], len(self._due) - place - 1
        pace = self._shared.clients[window.environment_key].transport.pace
        requests_before = pace.requests
        listing = self._list(window, f"calls of {window}, {left} windows left, pages")
        rows = self._rows(window, listing)
        listed = with_position(rows.select(["id", "fingerprint", "environment_key"]))
        changes = compare(self._shared.database, self._held(rows), listed)
        ledger_row = self._ledger_row(window, listing, changes) | {
            "requests_made": pace.requests - requests_before,
            "requests_a_minute": pace.most_a_minute,
        }
        return CallsRead(rows, changes, ledger_row)

    def _list(self, window: Window, shown: str) -> Listing:
        shared, client = self._shared, self._shared.clients[window.environment_key]
        asked = f"{client.transport.where(CALLS)} of {window}"
        client.on_page = progress(shared, shown)
        read = partial(read_table, CALL, asked=asked, time_zone=shared.options.time_zone)
        now = min(shared.observed_at, datetime.now(timezone.utc))
        grows = window.last_day > now.date() - MOST_AHEAD
        listing = client.fetch(CALLS, read, filters=window.filters, grows=grows)
        client.transport.refuse_a_wrong_clock()
        if shared.held.is_in_pipeline:
            refuse_unfit_values(dlt.current.pipeline(), listing.rows, asked)
        if listing.problem is not None and not shared.options.accept_incomplete:
            raise IncompleteListing(
                f"{asked}: {listing.problem}, after {READINGS} attempts. Nothing of these days was loaded. "
                "--accept-incomplete (accept_incomplete=True) loads what came"
            )
        if listing.rows.num_rows and listing.rows["created_at"].null_count == listing.rows.num_rows:
            raise UnexpectedPayload(
                f"{asked}: none of {listing.rows.num_rows} calls has a created_at, so no one could tell when it was. "
                "Nothing of these days was loaded. If the API no longer returns it, please report this"
            )
        return listing

    def _rows(self, window: Window, listing: Listing) -> pa.Table:
        keep = self._shared.options.calls.keep_callers
        rows = with_parties(listing.rows, self._numbers, self._key, keep=keep)
        rows = with_environment(rows, window.environment_key)
        return with_fingerprints(rows, self._shared.database, hashed_as=self._shared.hashed_as)

    def _held(self, rows: pa.Table) -> pa.Table:
        """What the destination holds of the time of `rows`."""
        ends = pc.min_max(rows["created_at"]).as_py()
        return as_compared(self._shared, "calls", self._shared.held.calls_between(ends["min"], ends["max"]))

    def _ledger_row(self, window: Window, listing: Listing, changes: Changes) -> Json:
        return {
            "environment_key": window.environment_key,
            "first_day": window.first_day,
            "last_day": window.last_day,
            "observed_at": self._shared.observed_at,
            "read_at": listing.listed_at,
            "listed": listing.distinct,
            "total": listing.total,
            "complete": listing.problem is None,
            "added": len(changes.added),
            "changed": len(changes.changed),
            "caller_key_id": self._key.id,
        }
