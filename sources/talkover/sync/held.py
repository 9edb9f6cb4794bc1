"""What the destination holds of earlier runs: the connector's only memory, so a lost working directory costs nothing.

Plain SQL through dlt's `sql_client`, so that it reads the same on every SQL destination; the answers are Arrow tables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.sql_client import SqlClientBase

from ..api.kinds import ARROW
from ..api.unknown import as_json
from ..errors import RunInProgress
from ..views import drop_views
from .changes import Filled
from .others import Others
from .tables import CHANGE_LOGS, KEYS, TableName

FETCH_ROWS = 10_000
IDS_A_QUERY = 500
IN_UTC = "set local time zone 'UTC'"
"""PostgreSQL writes instants in its session's zone, where the first and the last are of years that Python lacks."""

CURRENT = pa.schema([(name, pa.string()) for name in ("id", "fingerprint", "environment_key")])
LINKS = pa.schema([(name, pa.string()) for name in ("id", "linked_id", "fingerprint", "environment_key")])
LOG = pa.schema([*CURRENT, ("change_type", pa.string()), ("changed_at", ARROW["timestamp"])])

WINDOWS = pa.schema(
    {
        "environment_key": pa.string(),
        "first_day": ARROW["date"],
        "last_day": ARROW["date"],
        "observed_at": ARROW["timestamp"],
        "complete": ARROW["bool"],
        "caller_key_id": pa.string(),
    }
)
SECOND = timedelta(seconds=1)

LAST_RUNS = """
select * from (
    select *, row_number() over (partition by {environment} order by {observed_at} desc, {started_at} desc) as run_age
    from {load_runs}
) runs
where run_age = 1
"""

log = logging.getLogger("talkover")


@dataclass(frozen=True)
class WindowRead:
    """A window of calls that a run loaded, by its row in `call_windows`."""

    environment_key: str
    first_day: date
    last_day: date
    observed_at: datetime
    complete: bool
    caller_key_id: str


@dataclass(frozen=True)
class LastRun:
    """What the ledger says of the last run of an environment.

    `load_id` is that of its load. `hashed_as` is the name under which its rows were hashed first, None where that is
    its own. `is_retired`: it was the end of the environment.
    """

    load_id: str
    observed_at: datetime
    hashed_as: str | None
    is_retired: bool


class Held:
    """Reads what the tables of `schema` hold, in the pipeline that extracts now.

    A source that is iterated without a pipeline knows nothing, and neither does anyone of a table that this very run
    drops or truncates (dlt's `refresh` modes): those still hold their rows while the run extracts. `missing` collects
    the tables that were requested and are not there.
    """

    def __init__(self, schema: Schema) -> None:
        self.missing: set[TableName] = set()
        self.load_id: str | None = None
        try:
            package: Any = dlt.current.load_package_state()
        except CurrentLoadPackageStateNotAvailable:
            return
        self.load_id = package["load_id"]
        state = package["state"]
        self._drops = bool(state.get("dropped_tables"))
        emptied = [*state.get("dropped_tables", ()), *state.get("truncated_tables", ())]
        self._emptied = {table["name"] for table in emptied}
        self._client = _client(schema)
        self._loads = schema.loads_table_name
        self._others = Others(lambda: self._client, schema)

    @property
    def is_in_pipeline(self) -> bool:
        return self.load_id is not None

    def current(self, table: TableName) -> pa.Table:
        """The key, fingerprint and environment of every row in `table`: CURRENT, or LINKS where that has two ids."""
        schema = CURRENT if len(KEYS[table]) == 1 else LINKS
        return self._select(table, [*KEYS[table], "row_fingerprint", "environment_key"], schema)

    def latest(self, table: TableName) -> pa.Table:
        """The latest version of every id in the change log `table`, removals too: LOG."""
        columns = ["id", "row_fingerprint", "environment_key", "change_type", "changed_at"]
        return self._select(table, columns, LOG, latest=True)

    def versions_in(self, table: TableName, environments: Sequence[str], schema: pa.Schema) -> pa.Table:
        """The latest version of every id in the change log `table`, whole, as those of `environments` have it."""
        of_these = self._is_one_of("environment_key", environments)
        return self._select(table, schema.names, schema, latest=True, where=of_these, values=environments)

    def rows_of(self, table: TableName, ids: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
        """The rows of `ids` in `table`, whole, as tables of that schema; of a change log the latest version of each."""
        for start in range(0, len(ids), IDS_A_QUERY):
            some = ids[start : start + IDS_A_QUERY]
            is_one, latest = self._is_one_of("id", some), table in CHANGE_LOGS
            yield self._select(table, schema.names, schema, latest=latest, where=is_one, values=some)

    def call_windows(self) -> list[WindowRead]:
        """The windows of calls that were loaded, of those that differ in nothing but the run the last one.

        A load that was killed may have left a window's row without all of its calls, so its load must be among those
        that dlt noted as done.
        """
        if not self.is_in_pipeline:
            return []
        is_loaded = of_completed_loads(self._client, self._loads)
        read = self._select("call_windows", WINDOWS.names, WINDOWS, last="observed_at", where=is_loaded)
        return [WindowRead(**window) for window in read.to_pylist()]

    def calls_between(self, first: datetime | None, last: datetime | None) -> pa.Table:
        """The calls that began from `first` to `last`, and those of which that is not known: CURRENT.

        Some drivers write an instant without its fraction of a second.
        """
        columns = ["id", "row_fingerprint", "environment_key"]
        if not self.is_in_pipeline or first is None or last is None:
            return self._select("calls", columns, CURRENT, where="1 = 0")
        created_at = self._client.escape_column_name("created_at")
        began, ends = f"{created_at} between %s and %s", [first - SECOND, last + SECOND]
        # One condition with `or` would have DuckDB read this column of all calls.
        dated = self._select("calls", columns, CURRENT, where=began, values=ends)
        undated = self._select("calls", columns, CURRENT, where=f"{created_at} is null")
        return pa.concat_tables([dated, undated]).combine_chunks()

    def numbers(self) -> pa.ChunkedArray:
        """Every number that the account was seen to hold, as text; one may stand there twice."""
        tables: tuple[TableName, ...] = ("phone_numbers", "phone_number_changes")
        schema = pa.schema([("number", pa.string())])
        return pa.concat_tables([self._select(table, ["number"], schema, distinct=True) for table in tables])["number"]

    def filled(self, table: TableName, columns: Collection[str]) -> dict[str, Filled]:
        """How full `columns` are in `table`, by environment; those alone that the table has by now."""
        if not self._is_readable(table):
            return {}
        with self._client as client:
            name = client.make_qualified_table_name(table)
            environment = client.escape_column_name("environment_key")
            try:
                with client.execute_query(f"select * from {name} where 1 = 0") as cursor:  # noqa: S608  our own name
                    there = {column.lower() for column in cursor.columns_schema}
                counted = [column for column in columns if column in there]
                counts = "".join(f", count({client.escape_column_name(column)})" for column in counted)
                rows = client.execute_sql(
                    f"select {environment}, count(*){counts} from {name} group by {environment}"  # noqa: S608
                )
            except DestinationUndefinedEntity:
                return {}
        return {key: Filled(held, dict(zip(counted, found, strict=True))) for key, held, *found in rows or ()}

    def look_for(self, table: TableName) -> None:
        """Asks whether `table` is there, for `missing`, without reading it."""
        if not self._is_readable(table):
            self.missing.add(table)
            return
        with self._client as client:
            try:
                client.execute_sql(f"select 1 from {client.make_qualified_table_name(table)} where 1 = 0")  # noqa: S608
            except DestinationUndefinedEntity:
                self.missing.add(table)

    def last_runs(self) -> dict[str, LastRun]:
        """The last run of each environment, by the ledger."""
        if not self._is_readable("load_runs"):
            self.missing.add("load_runs")
            return {}
        with self._client as client:
            try:
                return last_runs(client)
            except DestinationUndefinedEntity:
                self.missing.add("load_runs")
                return {}

    def refuse_overtaken(self) -> None:
        """Raises RunInProgress where another load finished since this run began.

        To be called when everything is listed: what differs was found against rows that are there no longer.
        """
        for other in self._others.done().values() if self.is_in_pipeline else ():
            raise RunInProgress(
                f"{other} finished in dataset {self._client.dataset_name!r} while this one was listing: nothing was "
                "loaded. Run it again"
            )

    def drop_dependent_views(self) -> None:
        """Drops the views where the load step of this run drops tables: PostgreSQL keeps a table that a view reads.

        To be called when nothing can fail any more, since only `load_account` and `talkover views` create them again.
        """
        if self.is_in_pipeline and self._drops:
            log.warning("the views are dropped, so that tables can be; `talkover views` creates them again")
            with self._client as client:
                drop_views(client)

    def _is_one_of(self, column: str, values: Sequence[str]) -> str:
        return f"{self._client.escape_column_name(column)} in ({', '.join(['%s'] * len(values))})"

    def _is_readable(self, table: TableName) -> bool:
        return self.is_in_pipeline and table not in self._emptied

    def _select(
        self,
        table: TableName,
        columns: Sequence[str],
        schema: pa.Schema,
        *,
        latest: bool = False,
        distinct: bool = False,
        last: str | None = None,
        where: str | None = None,
        values: Sequence[Any] = (),
    ) -> pa.Table:
        """`columns` of `table` under the names and types of `schema`; no row where the table is not there.

        Of rows that differ in the column `last` alone there is one, with the greatest value. `where` is a condition
        with `values` for its parameters.
        """
        if not self._is_readable(table):
            self.missing.add(table)
            return schema.empty_table()
        with self._client as client:
            query = _query(client, table, columns, latest=latest, distinct=distinct, last=last, where=where)
            try:
                rows = pa.concat_tables([schema.empty_table(), *stream(client, query, values, schema)])
                return rows.combine_chunks()  # a copy, since DuckDB's own batches take up more than they hold
            except DestinationUndefinedEntity:
                self.missing.add(table)  # the first run, or a table dropped by hand
                return schema.empty_table()


def last_runs(client: SqlClientBase[Any]) -> dict[str, LastRun]:
    """The last run of each environment in the dataset of `client`. Raises DestinationUndefinedEntity: none ever ran."""
    query = LAST_RUNS.format(
        load_runs=client.make_qualified_table_name("load_runs"),
        environment=client.escape_column_name("environment_key"),
        observed_at=client.escape_column_name("observed_at"),
        started_at=client.escape_column_name("started_at"),
    )
    with client.execute_query(query) as cursor:
        names = [name.lower() for name in cursor.columns_schema]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    # an earlier version's ledger has neither of the last two
    return {
        row["environment_key"]: LastRun(
            row["_dlt_load_id"], in_utc(row["observed_at"]), row.get("hashed_as"), bool(row.get("is_retired"))
        )
        for row in rows
    }


def of_completed_loads(client: SqlClientBase[Any], loads_table: str = "_dlt_loads") -> str:
    """The condition that the load of a row is among those that dlt noted as done."""
    loads = client.make_qualified_table_name(loads_table)
    load_id, status, of_row = map(client.escape_column_name, ("load_id", "status", "_dlt_load_id"))
    return f"{of_row} in (select {load_id} from {loads} where {status} = 0)"  # noqa: S608  our own names


def _client(schema: Schema) -> SqlClientBase[Any]:
    pipeline = dlt.current.pipeline()
    is_known = schema.name in pipeline.schema_names
    return pipeline.sql_client(schema.name) if is_known else pipeline.sql_client()


def _query(
    client: SqlClientBase[Any],
    table: TableName,
    columns: Sequence[str],
    *,
    latest: bool,
    distinct: bool,
    last: str | None,
    where: str | None,
) -> str:
    """Names are our own; values are parameters."""
    escaped = {name: client.escape_column_name(name) for name in columns}
    listed = ", ".join(f"max({column})" if name == last else column for name, column in escaped.items())
    source = f"from {client.make_qualified_table_name(table)}" + (f" where {where}" if where else "")
    if latest:
        id, changed_at = client.escape_column_name("id"), client.escape_column_name("changed_at")
        age = f"row_number() over (partition by {id} order by {changed_at} desc) as version_age"
        source = f"from (select {listed}, {age} {source}) versions where version_age = 1"
    if last:
        source += f" group by {', '.join(column for name, column in escaped.items() if name != last)}"
    return f"select {'distinct ' if distinct else ''}{listed} {source}"


def stream(client: SqlClientBase[Any], query: str, values: Sequence[Any], schema: pa.Schema) -> Iterator[pa.Table]:
    """The answer in batches, under the names and types of `schema`.

    DuckDB gives Arrow; psycopg2 would hold all of it unless the server keeps the cursor.
    """
    if client.capabilities.sqlglot_dialect == "postgres":
        with client.begin_transaction():
            client.execute_sql(IN_UTC)
            client.execute_sql(f"declare talkover_rows no scroll cursor for {query}", *values)
            is_last = False
            while not is_last and (rows := client.execute_sql(f"fetch {FETCH_ROWS} from talkover_rows")):
                is_last = len(rows) < FETCH_ROWS
                yield _table_of(rows, schema)
        return
    with client.execute_query(query, *values) as cursor:
        if client.capabilities.sqlglot_dialect == "duckdb":
            for table in cursor.iter_arrow(FETCH_ROWS):
                yield table.rename_columns(schema.names).cast(schema)
        else:
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield _table_of(rows, schema)


def _table_of(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    columns = [
        pa.array([None if value is None else _plain(field.type)(value) for value in values], field.type)
        for field, values in zip(schema, zip(*rows, strict=True), strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _plain(type: pa.DataType) -> Callable[[Any], Any]:
    """What makes of a driver's value one that Arrow takes: JSON as text, some give 1 for true."""
    if type == ARROW["text"]:
        return lambda value: value if isinstance(value, str) else as_json(value)
    if type == ARROW["bool"]:
        return bool
    return in_utc if type == ARROW["timestamp"] else lambda value: value


def in_utc(value: datetime | str) -> datetime:
    """Some drivers give instants without their zone, or as text; all of them are stored in UTC."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant.replace(tzinfo=timezone.utc) if instant.tzinfo is None else instant.astimezone(timezone.utc)
