"""One run over the account: lists each endpoint once, compares it with what the destination holds, sends what differs.

An endpoint is requested only when a table that was selected needs it. Whatever a run can refuse is refused
before the first row is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema

from .. import __version__
from ..api.client import TalkoverClient
from ..api.reading import Json
from ..errors import ConfigurationError
from .calls import Calls, CallsRead
from .changes import count_by
from .compared import Compared, compare_endpoint, read_held
from .database import Database
from .destinations import refuse_unfit, refuse_unfit_tables
from .held import Held
from .listed import ENDPOINTS, Endpoint
from .parties import caller_key
from .rehashed import without_rehashed
from .sending import call_rows, rows_for
from .shared import Options, Shared
from .tables import TableName

CLOCK_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class WindowSent:
    """What the tables of calls are sent of a window."""

    calls: Iterator[Any]
    ledger_row: Json


class Run:
    """What the resources of one extraction share. Raises, in extract, every TalkoverError that a run can end in.

    `compared` is what was listed, by resource; it is freed when all of its tables have been sent.
    """

    def __init__(
        self,
        clients: Mapping[str, TalkoverClient],
        options: Options,
        schema: Schema,
        tables: Mapping[TableName, TTableSchema],
        *,
        database: Database,
    ) -> None:
        self.run_id = uuid4().hex
        self.started_at = datetime.now(timezone.utc)
        observed_at = options.observed_at or self.started_at
        self._requests_before = {key: client.transport.pace.requests for key, client in clients.items()}
        held = Held(schema)
        if held.is_in_pipeline:
            refuse_unfit(dlt.current.pipeline())
            refuse_unfit_tables(dlt.current.pipeline(), tables.values())
        last_runs = held.last_runs()
        self.shared = Shared(clients, options, schema, held, database, observed_at, last_runs)
        self.left_out = {table for resource in options.without for table in ENDPOINTS[resource].tables}
        self.unsent = set(tables) - {"call_windows"}
        self._refuse_the_future()
        for last in (last_runs[key] for key in clients if key in last_runs):
            self._refuse_the_past(last.observed_at, itself=last.is_retired)
        self.compared = {
            resource: self._compare(endpoint, chosen)
            for resource, endpoint in ENDPOINTS.items()
            if (chosen := [table for table in endpoint.tables if table in self.unsent - self.left_out])
        }
        self.ledger = list(self._ledger())
        self.calls = self._calls() if "calls" in tables else None

    def rows(self, table: TableName) -> Iterator[Any]:
        """What `table` is sent, in batches; an empty schema where there is nothing to send and no table yet."""
        held, is_sent = self.shared.held, False
        if table in self.left_out:
            held.look_for(table)
        for batch in self._batches(table):
            yield batch
            is_sent = True
        if not is_sent and held.is_in_pipeline and table in held.missing:
            yield dlt.mark.materialize_table_schema()
        self._has_sent(table)

    def windows(self) -> Iterator[WindowSent]:
        """What `calls` and `call_windows` are sent, a window at a time."""
        if self.calls:
            yield from map(self._window_sent, self.calls.read())
        self._has_sent("calls")

    def _window_sent(self, read: CallsRead) -> WindowSent:
        return WindowSent(self._calls_of(read), read.ledger_row)

    def _calls_of(self, read: CallsRead) -> Iterator[Any]:
        yield from call_rows(read.rows, read.changes, self.shared)
        if "calls" in self.shared.held.missing:
            yield dlt.mark.materialize_table_schema()  # where there is no call it would not be made

    def _has_sent(self, table: TableName) -> None:
        self.unsent.discard(table)
        for resource in [name for name, compared in self.compared.items() if self.unsent.isdisjoint(compared.changes)]:
            del self.compared[resource]  # else the listing would fill memory while it is loaded
            pa.default_memory_pool().release_unused()
        if not self.unsent:
            self.shared.held.refuse_overtaken()
            self.shared.held.drop_dependent_views()

    def _batches(self, table: TableName) -> Iterable[Any]:
        if table == "load_runs":
            return [self.ledger]
        compared = next((each for each in self.compared.values() if table in each.changes), None)
        return rows_for(table, compared, self.shared) if compared else ()

    def _calls(self) -> Calls:
        listed = [each.listed.rows["number"] for name, each in self.compared.items() if name == "phone_numbers"]
        numbers = [chunk for column in (self.shared.held.numbers(), *listed) for chunk in column.chunks]
        key = caller_key(self.shared.options.calls.caller_key)
        return Calls(self.shared, key, pa.chunked_array(numbers, pa.string()))

    def _compare(self, endpoint: Endpoint, tables: list[TableName]) -> Compared:
        """What becomes of `tables`. History only goes forward, also for an id that another environment listed since."""
        held = {table: read_held(self.shared, table) for table in tables}
        log = held.get(endpoint.log) if endpoint.log else None
        if log:
            ours = pc.is_in(log["environment_key"], value_set=pa.array(list(self.shared.clients), pa.string()))
            self._refuse_the_past(pc.max(log["changed_at"].filter(ours)).as_py())
        compared = without_rehashed(compare_endpoint(self.shared, endpoint, held), self.shared)
        if log:
            is_listed = pc.is_in(log["id"], value_set=compared.listed.rows["id"].combine_chunks())
            self._refuse_the_past(pc.max(log["changed_at"].filter(pc.and_not(is_listed, ours))).as_py())
        return compared

    def _refuse_the_future(self) -> None:
        """History only goes forward: a run dated too late would lock out every run before that day."""
        if self.shared.observed_at > self.started_at + CLOCK_TOLERANCE:
            raise ConfigurationError(
                f"this run is dated {self.shared.observed_at.isoformat()}, which is in the future: give an earlier "
                "--observed-at"
            )

    def _refuse_the_past(self, last: datetime | None, *, itself: bool = False) -> None:
        """What is dated with `last` itself may be loaded again, unless that was the end of an environment."""
        if last is not None and (self.shared.observed_at < last or (itself and self.shared.observed_at == last)):
            self.shared.held.refuse_overtaken()
            raise ConfigurationError(
                f"this run is dated {self.shared.observed_at.isoformat()}, but {last.isoformat()} is loaded already: "
                "history only goes forward. Give a later --observed-at (observed_at), or set this machine's clock"
            )

    def _ledger(self) -> Iterator[Json]:
        for key, client in self.shared.clients.items():
            yield {
                "run_id": self.run_id,
                "environment_key": key,
                "started_at": self.started_at,
                "observed_at": self.shared.observed_at,
                "requests_made": client.transport.pace.requests - self._requests_before[key],
                "requests_a_minute": client.transport.pace.most_a_minute,
                "connector_version": __version__,
                "hashed_as": self.shared.hashed_as.get(key),
            } | {
                f"{resource}_{figure}": value
                for resource, compared in self.compared.items()
                for figure, value in _figures(compared, key).items()
            }


def _figures(compared: Compared, environment_key: str) -> Json:
    """What the ledger says of an endpoint in one environment."""
    # A countdown alone rewrites a row but is no change, so the log counts where it is loaded.
    tables, log = list(compared.changes), compared.endpoint.log
    listing, listed_in = compared.listed.listings[environment_key], compared.listed.rows["environment_key"]
    figures = {
        "listed_at": listing.listed_at,
        "listed": listing.distinct,
        "total": listing.total,
        "complete": listing.complete,
    }
    table = log if log in tables else compared.endpoint.current
    if table not in tables:
        return {}
    changes = compared.changes[table]
    return figures | {
        "added": count_by(listed_in.take(changes.added))[environment_key],
        "changed": count_by(listed_in.take(changes.changed))[environment_key],
        "removed": count_by(changes.removed["environment_key"])[environment_key],
    }
