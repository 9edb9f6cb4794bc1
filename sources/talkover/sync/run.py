"""One run over the account: lists each endpoint once, compares it with what the destination holds, makes the rows.

A run is lazy: an endpoint is asked when the first table that was selected needs it, and never otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache, cached_property, lru_cache, partial
from sys import intern
from typing import Any, TypeVar
from uuid import uuid4

import dlt
import orjson
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema

from .. import __version__
from ..api.client import PHONE_NUMBERS, RELEASE_REQUESTS, Json, Listing, TalkoverClient
from ..api.models import COUNTDOWNS, Agent, PhoneNumber, ReleaseRequest, Resource, quote, read_rows
from ..errors import ConfigurationError, IncompleteListing, InvalidRow
from .changes import Changes, Filled, Known, canonical, compare, fingerprint, guard_account, guard_fields, guard_removal
from .destinations import refuse_unfit, refuse_unfit_tables
from .memory import NOBODY, Log, Memory
from .tables import LEDGER_RESOURCES, OWN_COLUMNS, REMOVED, TableName, column_names

NO_CHANGE = COUNTDOWNS | {"updated_at"}
"""Fields that make no row in a change log by themselves: a touch is no change."""
NUMBER_TABLES: tuple[TableName, ...] = ("phone_numbers", "phone_number_agents", "phone_number_changes")
REQUEST_TABLES: tuple[TableName, ...] = ("release_requests", "release_request_changes")
TABLES_OF: Mapping[str, Sequence[TableName]] = {"phone_numbers": NUMBER_TABLES, "release_requests": REQUEST_TABLES}
CHANGE_LOGS: tuple[TableName, ...] = ("phone_number_changes", "release_request_changes")
SETTLED = frozenset({"resolved_at", "rejection_reason"})
"""Fields of settled requests: the requests listed may all be pending, while those held stay for ever."""
ROWS_A_BATCH = 5_000
MAX_NEW_FIELDS = 500
"""Of a listing: no API grows so many, and a table in PostgreSQL may have 1,600 columns."""
CLOCK_TOLERANCE = timedelta(days=1)
NEVER = datetime.min.replace(tzinfo=timezone.utc)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Options:
    """What a caller may ask of a run; see `talkover_source`."""

    filters: Mapping[str, str] = field(default_factory=dict)
    time_zone: tzinfo = timezone.utc
    observed_at: datetime | None = None
    full_refresh: bool = False
    allow_mass_removal: bool = False
    allow_lost_fields: bool = False
    accept_incomplete: bool = False
    without: Collection[str] = ()


@dataclass
class SeenRow:
    """A row of a listing: fingerprints for comparing, and its values as JSON where some table is to be sent them."""

    __slots__ = ("agent_marks", "change_mark", "environment_key", "id", "mark", "updated_at", "values")
    id: str
    environment_key: str
    updated_at: datetime | None
    mark: str
    change_mark: str
    agent_marks: Mapping[str, str]
    values: bytes

    def marks(self, table: TableName) -> Iterable[tuple[Any, str]]:
        """The fingerprints that `table` is to hold of it, each with its key."""
        if table in CHANGE_LOGS:
            return ((self.id, self.change_mark),)
        if table == "phone_number_agents":
            return [((self.id, agent), mark) for agent, mark in self.agent_marks.items()]
        return ((self.id, self.mark),)

    def row(self) -> Json:
        """Column to value, without nulls."""
        steady, _, touch = self.values.partition(b"\n")
        return {**orjson.loads(steady), **orjson.loads(touch)}


@dataclass(frozen=True)
class Reading:
    """The listings of all environments, and one row an id."""

    rows: Mapping[str, SeenRow]
    listings: Mapping[str, Listing[SeenRow]]

    def saw(self, id: str) -> bool:
        """Whether any reading of any environment held `id`, also one that had to be made again."""
        return id in self.rows or any(id in listing.seen for listing in self.listings.values())

    def marks(self, table: TableName) -> Mapping[Any, str]:
        """The fingerprints that `table` is to hold, by its key."""
        return {key: mark for row in self.rows.values() for key, mark in row.marks(table)}


class Run:
    """What the resources of one extraction share. Raises, in extract, every TalkoverError that a run can end in."""

    def __init__(
        self,
        clients: Mapping[str, TalkoverClient],
        options: Options,
        schema: Schema,
        tables: Mapping[str, TTableSchema],
    ) -> None:
        self.run_id = uuid4().hex
        self.started_at = datetime.now(timezone.utc)
        self.observed_at = options.observed_at or self.started_at
        self._clients = clients
        self._options = options
        self._selected = tables.keys() - {table for resource in options.without for table in TABLES_OF[resource]}
        self._unfinished = set(tables)
        self._memory = Memory(schema)
        if self._memory.is_in_pipeline:
            refuse_unfit(dlt.current.pipeline())
            refuse_unfit_tables(dlt.current.pipeline(), tables.values())
        self._naming = schema.naming
        self._agent_names = ColumnNames(schema.naming, column_names(Agent, "agent_"), "an agent")
        self.changes = cache(self._compare)
        self._current = cache(partial(self._memory.current, is_repair=options.full_refresh))
        self._log = cache(self._read_log)
        self._before = cache(self._fingerprints_before)
        self._agents_of = lru_cache(maxsize=1)(self._agents_by_id)  # those of one number come in a row
        self._refuse_the_future()
        self._refuse_the_past(self._memory.last_observed(clients))

    def rows(self, table: TableName) -> Iterator[Any]:
        """What `table` is sent, in batches; an empty schema where there is nothing to send and no table yet."""
        sent = False
        if table not in self._selected:
            self._memory.look_for(table)
        else:
            for batch in self._ledger() if table == "load_runs" else self._changed_rows(table):
                yield batch
                sent = True
        if not sent and self._memory.is_in_pipeline and table in self._memory.missing:
            yield dlt.mark.materialize_table_schema()
        self._unfinished.discard(table)
        if not self._unfinished:
            self._memory.let_tables_go()
            vars(self).clear()  # else the listing would fill memory while it is loaded: caches make cycles

    def _changed_rows(self, table: TableName) -> Iterator[list[Json]]:
        changes = self.changes(table)
        for change_type, keys in (("added", changes.added), ("changed", changes.changed)):
            for batch in _batches(keys):
                yield [self._row(table, key, change_type) for key in batch]
        for batch in _batches(changes.removed):
            yield self._removed_rows(table, batch)

    def _row(self, table: TableName, key: Any, change_type: str) -> Json:
        if table == "phone_number_agents":
            return self._agent_row(*key)
        seen = self._reading(table).rows[key]
        row = seen.row()
        if table not in CHANGE_LOGS:
            return row | {"row_fingerprint": seen.mark}
        for name in COUNTDOWNS:
            row.pop(name, None)
        if key in self._log(table).just_added:
            change_type = "added"  # this very instant is loaded again
        return row | {
            "row_fingerprint": seen.change_mark,
            "change_type": change_type,
            "changed_at": self.observed_at,
        }

    def _agent_row(self, number_id: str, agent_id: str) -> Json:
        seen = self._numbers.rows[number_id]
        row = {f"agent_{name}": value for name, value in self._agents_of(number_id)[agent_id].items()}
        return self._agent_names.of(row, number_id) | {
            "phone_number_id": number_id,
            "environment_key": seen.environment_key,
            "row_fingerprint": seen.agent_marks[agent_id],
        }

    def _agents_by_id(self, number_id: str) -> dict[str, Json]:
        return {agent["id"]: agent for agent in self._numbers.rows[number_id].row()["agents"]}

    def _removed_rows(self, table: TableName, keys: Sequence[Any]) -> list[Json]:
        if table == "phone_number_agents":
            return [{"phone_number_id": number, "agent_id": agent, REMOVED: True} for number, agent in keys]
        if table == "phone_numbers":
            return [{"id": id, REMOVED: True} for id in keys]
        last = self._memory.latest_rows(table, keys)
        return [last[id] | {"change_type": "removed", "changed_at": self.observed_at} for id in keys]

    # What is new, different and gone.

    def _compare(self, table: TableName) -> Changes[Any]:
        """What this run adds, changes and removes in `table`."""
        known, reading = self._known(table), self._reading(table)
        changes = compare(self._before(table), reading.marks(table), self._may_go(table, known, reading))
        if table in NUMBER_TABLES and not self._options.allow_mass_removal:
            self._guard(table, known, reading, changes)
        if table in CHANGE_LOGS:
            moved = self._log(table).elsewhere
            self._refuse_the_past(max((moved[id] for id in reading.rows if id in moved), default=None))
        return changes

    def _may_go(self, table: TableName, known: Known[Any], reading: Reading) -> Callable[[Any], bool]:
        """Whether a row that is not seen any more is gone, rather than not asked for."""
        if table in REQUEST_TABLES:
            return lambda _: False  # a request is history
        everything_was_read = all(listing.complete for listing in reading.listings.values())
        ours = {*self._clients, NOBODY}

        def may_go(key: Any) -> bool:
            is_agent = table == "phone_number_agents"
            number_id = key[0] if is_agent else key
            if is_agent and number_id in reading.rows:
                return True
            return everything_was_read and known.environments[key] in ours and not reading.saw(number_id)

        return may_go

    def _guard(self, table: TableName, known: Known[Any], reading: Reading, changes: Changes[Any]) -> None:
        """Counts numbers, also where the rows are agents on them: an agent less on a listed number is no loss."""

        def number(key: Any) -> str:
            return str(key[0] if table == "phone_number_agents" else key)

        lost = {number(key): known.environments[key] for key in changes.removed if number(key) not in reading.rows}
        if not lost:
            return
        held = Counter({number(key): environment for key, environment in known.environments.items()}.values())
        gone = Counter(lost.values())
        for key, listing in reading.listings.items():
            figures = (self._clients[key].transport.where(PHONE_NUMBERS), listing.distinct, held[key], gone[key])
            if table != "phone_number_agents":  # not every number has an agent
                guard_account(*figures)
            guard_removal(*figures)

    # What the destination held before.

    def _known(self, table: TableName) -> Known[Any]:
        return self._log(table).known if table in CHANGE_LOGS else self._current(table)

    def _fingerprints_before(self, table: TableName) -> Mapping[Any, str]:
        """What a listed row is compared with; none is the same where every row is to be sent again."""
        known = self._known(table).fingerprints
        if self._options.full_refresh and table not in CHANGE_LOGS:
            return dict.fromkeys(known, "")
        return known

    def _read_log(self, table: TableName) -> Log:
        log = self._memory.latest(table, self._clients, self.observed_at)
        self._refuse_the_past(max((log.newest[key] for key in self._clients if key in log.newest), default=None))
        return log

    def _refuse_the_future(self) -> None:
        """History only goes forward: a run dated too late would lock out every run before that day."""
        if self.observed_at > self.started_at + CLOCK_TOLERANCE:
            raise ConfigurationError(
                f"this run is dated {self.observed_at.isoformat()}, which is in the future: give an earlier "
                "--observed-at"
            )

    def _refuse_the_past(self, last: datetime | None) -> None:
        if last is not None and self.observed_at < last:
            raise ConfigurationError(
                f"this run is dated {self.observed_at.isoformat()}, but {last.isoformat()} is loaded already: history "
                "only goes forward. Give a later --observed-at (observed_at), or set this machine's clock"
            )

    # The listings.

    def _reading(self, table: TableName) -> Reading:
        return self._numbers if table in NUMBER_TABLES else self._requests

    @cached_property
    def _numbers(self) -> Reading:
        return self._read(PHONE_NUMBERS, PhoneNumber, NUMBER_TABLES, self._options.filters, self._held)

    @cached_property
    def _requests(self) -> Reading:
        return self._read(RELEASE_REQUESTS, ReleaseRequest, REQUEST_TABLES)

    def _held(self, environment_key: str) -> set[str]:
        """The ids of the numbers that the tables of this run hold of an environment."""
        by_number: tuple[TableName, ...] = ("phone_numbers", "phone_number_changes")
        tables = [table for table in by_number if table in self._selected]
        return {id for table in tables for id, key in self._known(table).environments.items() if key == environment_key}

    def _read(
        self,
        endpoint: str,
        model: type[Resource],
        tables: Sequence[TableName],
        filters: Mapping[str, str] | None = None,
        held: Callable[[str], Collection[str]] = lambda _: (),
    ) -> Reading:
        """Lists `endpoint` in every environment; of rows with the same id, the one that was updated last stands."""
        rows: dict[str, SeenRow] = {}
        listings = {}
        show_progress = self._progress()
        is_needed = self._is_needed(tables)
        filled = self._filled(model, tables)
        for key, client in self._clients.items():
            client.on_page = show_progress
            told: set[str] = set()
            read = self._reader(key, endpoint, model, is_needed, told)
            listing = listings[key] = self._list(client, endpoint, read, filters, held(key))
            client.transport.refuse_a_wrong_clock()
            if listing.complete and key in filled:
                guard_fields(client.transport.where(endpoint), listing.distinct, told, filled[key])
            for row in listing.rows:
                other = rows.get(row.id)
                if other is None or (row.updated_at or NEVER) >= (other.updated_at or NEVER):
                    rows[row.id] = row
            listing.rows.clear()
        return Reading(rows, listings)

    def _list(
        self,
        client: TalkoverClient,
        endpoint: str,
        read: Callable[[Sequence[Json]], list[SeenRow]],
        filters: Mapping[str, str] | None,
        held: Collection[str],
    ) -> Listing[SeenRow]:
        try:
            return client.fetch(endpoint, read, filters=filters, known=() if filters else held)
        except IncompleteListing as error:
            if not self._options.accept_incomplete:
                raise
            listing: Listing[SeenRow] = error.listing
            return listing

    def _filled(self, model: type[Resource], tables: Sequence[TableName]) -> Mapping[str, Filled]:
        """How full the columns are that a listing must not empty, by environment."""
        whole = (table for table in tables if table in self._selected and table != "phone_number_agents")
        table = next(whole, None)
        if table is None or self._options.allow_lost_fields:
            return {}
        return self._memory.filled(table, [name for name in column_names(model) if name not in SETTLED])

    def _progress(self) -> Callable[[str, int], None]:
        """Counts pages for the pipeline's collector. Pages come from other threads, which know no pipeline."""
        if not self._memory.is_in_pipeline:
            return lambda _endpoint, _pages: None
        collector = dlt.current.pipeline().collector
        return lambda endpoint, pages: collector.update(f"{endpoint} pages", total=pages)

    def _is_needed(self, tables: Sequence[TableName]) -> Callable[[SeenRow], bool]:
        """Tells whether any of `tables` is to be sent a row.

        What they hold is read here and now: pages come from other threads, which know no pipeline.
        """
        before = {table: self._before(table) for table in tables if table in self._selected}

        def is_needed(row: SeenRow) -> bool:
            return any(known.get(key) != mark for table, known in before.items() for key, mark in row.marks(table))

        return is_needed

    def _reader(
        self,
        environment_key: str,
        endpoint: str,
        model: type[Resource],
        is_needed: Callable[[SeenRow], bool],
        told: set[str],
    ) -> Callable[[Sequence[Json]], list[SeenRow]]:
        """What reads the rows of a page; `told` gets the columns that have a value in any of them."""
        where = self._clients[environment_key].transport.where(endpoint)
        names = ColumnNames(self._naming, column_names(model), where)

        def read(rows: Sequence[Json]) -> list[SeenRow]:
            page = []
            for record in read_rows(model, rows, where, self._options.time_zone):
                row = names.of(row := record.row(), row["id"])
                told.update(row)
                page.append(_seen(row, environment_key, is_needed))
            return page

        return read

    # The ledger.

    def _ledger(self) -> Iterator[list[Json]]:
        figures = {key: self._figures(key) for key in self._clients}
        yield [
            {
                "run_id": self.run_id,
                "environment_key": key,
                "started_at": self.started_at,
                "observed_at": self.observed_at,
                "requests_made": client.transport.pace.requests,
                "requests_a_minute": client.transport.pace.most_a_minute,
                "connector_version": __version__,
                **figures[key],
            }
            for key, client in self._clients.items()
        ]

    def _figures(self, environment_key: str) -> Json:
        figures: Json = {}
        for resource, log in zip(LEDGER_RESOURCES, CHANGE_LOGS, strict=True):
            # A countdown alone rewrites a row but is no change, so the log counts where it is loaded.
            table = log if log in self._selected else resource
            if table not in self._selected:
                continue
            reading, changes = self._reading(table), self.changes(table)
            listing = reading.listings[environment_key]
            environments = self._known(table).environments
            figures |= {
                f"{resource}_listed_at": listing.listed_at,
                f"{resource}_listed": listing.distinct,
                f"{resource}_total": listing.total,
                f"{resource}_complete": listing.complete,
                f"{resource}_added": _count(environment_key, changes.added, reading),
                f"{resource}_changed": _count(environment_key, changes.changed, reading),
                f"{resource}_removed": sum(environments[key] == environment_key for key in changes.removed),
            }
        return figures


class ColumnNames:
    """Names the columns of fields that no page documents, as dlt will.

    Two fields that would share a column are refused: dlt would keep one of the values and say nothing.
    """

    def __init__(self, naming: NamingConvention, documented: Collection[str], where: str) -> None:
        self._documented = frozenset(documented)
        self._where = where
        self._column = cache(lambda name: naming.normalize_path(name.strip() or "_empty"))

    def of(self, row: Json, id: str) -> Json:
        """`row` by column. Raises InvalidRow."""
        if row.keys() <= self._documented:
            return row
        named: Json = {}
        for name, value in row.items():
            column = name if name in self._documented else self._column(name)
            if self._column.cache_info().currsize > MAX_NEW_FIELDS:
                raise InvalidRow(
                    f"{self._where}: id {quote(id)}: more than {MAX_NEW_FIELDS} fields that are not documented. "
                    "Nothing was loaded; please report this"
                )
            if column in named or column in OWN_COLUMNS or (column != name and column in self._documented):
                raise InvalidRow(
                    f"{self._where}: id {quote(id)}: field {quote(name)} would share column {quote(column)}. "
                    "Nothing was loaded; please report this"
                )
            named[column] = value
        return named


def _seen(row: Json, environment_key: str, is_needed: Callable[[SeenRow], bool]) -> SeenRow:
    """`row`, which is taken apart."""
    row["environment_key"] = environment_key
    changeless = {name: row.pop(name) for name in NO_CHANGE if name in row}
    steady, touch = canonical(row), canonical(changeless)
    updated_at = changeless.get("updated_at")
    seen = SeenRow(
        id=intern(row["id"]),
        environment_key=environment_key,
        updated_at=updated_at if isinstance(updated_at, datetime) else None,  # of a request no page documents it
        mark=fingerprint(steady, touch),
        change_mark=fingerprint(steady),
        agent_marks={
            intern(agent["id"]): fingerprint(canonical(agent), environment_key.encode())
            for agent in row.get("agents") or ()
        },
        values=b"",
    )
    if is_needed(seen):
        seen.values = b"\n".join((steady, touch))  # a copy, too: orjson's own bytes keep five times their length
    return seen


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + ROWS_A_BATCH] for start in range(0, len(items), ROWS_A_BATCH))


def _count(environment_key: str, ids: Sequence[str], reading: Reading) -> int:
    return sum(reading.rows[id].environment_key == environment_key for id in ids)
