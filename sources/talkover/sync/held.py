"""What the destination holds of earlier runs: the connector's only memory, so a lost working directory costs nothing.

Plain SQL through dlt's `sql_client`, so that it reads the same on every SQL destination; the answers are Arrow tables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.sql_client import SqlClientBase

from ..api.kinds import ARROW
from ..api.unknown import as_json
from ..views import drop_views
from .changes import Filled
from .tables import KEYS, TableName

FETCH_ROWS = 10_000
IDS_A_QUERY = 500
IN_UTC = "set local time zone 'UTC'"
"""PostgreSQL writes instants in its session's zone, where the first and the last are of years that Python lacks."""

CURRENT = pa.schema([(name, pa.string()) for name in ("id", "fingerprint", "environment_key")])
AGENTS = pa.schema([(name, pa.string()) for name in ("id", "agent_id", "fingerprint", "environment_key")])
LOG = pa.schema([*CURRENT, ("change_type", pa.string()), ("changed_at", ARROW["timestamp"])])

log = logging.getLogger("talkover")


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

    @property
    def is_in_pipeline(self) -> bool:
        return self.load_id is not None

    def current(self, table: TableName) -> pa.Table:
        """The key, fingerprint and environment of every row in `table`: CURRENT, or AGENTS."""
        schema = AGENTS if table == "phone_number_agents" else CURRENT
        return self._select(table, [*KEYS[table], "row_fingerprint", "environment_key"], schema)

    def latest(self, table: TableName) -> pa.Table:
        """The latest version of every id in the change log `table`, removals too: LOG."""
        columns = ["id", "row_fingerprint", "environment_key", "change_type", "changed_at"]
        return self._select(table, columns, LOG, latest=True)

    def latest_rows(self, table: TableName, ids: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
        """The latest version of each of `ids` in the change log `table`, whole, as tables of that schema."""
        for start in range(0, len(ids), IDS_A_QUERY):
            yield self._select(table, schema.names, schema, latest=True, ids=ids[start : start + IDS_A_QUERY])

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

    def last_observed(self, environments: Collection[str]) -> datetime | None:
        """The instant of the latest run of any of `environments`, by the ledger."""
        schema = pa.schema({"environment_key": pa.string(), "observed_at": ARROW["timestamp"]})
        runs = self._select("load_runs", schema.names, schema).to_pylist()
        return max((run["observed_at"] for run in runs if run["environment_key"] in environments), default=None)

    def drop_dependent_views(self) -> None:
        """Drops the views where the load step of this run drops tables: PostgreSQL keeps a table that a view reads.

        To be called when nothing can fail any more, since only `load_account` and `talkover views` create them again.
        """
        if self.is_in_pipeline and self._drops:
            log.warning("the views are dropped, so that tables can be; `talkover views` creates them again")
            with self._client as client:
                drop_views(client)

    def _is_readable(self, table: TableName) -> bool:
        return self.is_in_pipeline and table not in self._emptied

    def _select(
        self,
        table: TableName,
        columns: Sequence[str],
        schema: pa.Schema,
        *,
        latest: bool = False,
        ids: Sequence[str] = (),
    ) -> pa.Table:
        """`columns` of `table` under the names and types of `schema`; no row where the table is not there."""
        if not self._is_readable(table):
            self.missing.add(table)
            return schema.empty_table()
        with self._client as client:
            query = _query(client, table, columns, latest=latest, ids=len(ids))
            try:
                rows = pa.concat_tables([schema.empty_table(), *_stream(client, query, ids, schema)])
                return rows.combine_chunks()  # a copy, since DuckDB's own batches take up more than they hold
            except DestinationUndefinedEntity:
                self.missing.add(table)  # the first run, or a table dropped by hand
                return schema.empty_table()


def _client(schema: Schema) -> SqlClientBase[Any]:
    pipeline = dlt.current.pipeline()
    is_known = schema.name in pipeline.schema_names
    return pipeline.sql_client(schema.name) if is_known else pipeline.sql_client()


def _query(client: SqlClientBase[Any], table: TableName, columns: Sequence[str], *, latest: bool, ids: int) -> str:
    """Names are our own; the `ids` are parameters."""
    listed = ", ".join(map(client.escape_column_name, columns))
    id, changed_at = client.escape_column_name("id"), client.escape_column_name("changed_at")
    source = f"from {client.make_qualified_table_name(table)}"
    if ids:
        source += f" where {id} in ({', '.join(['%s'] * ids)})"
    if latest:
        age = f"row_number() over (partition by {id} order by {changed_at} desc) as version_age"
        source = f"from (select {listed}, {age} {source}) versions where version_age = 1"
    return f"select {listed} {source}"


def _stream(client: SqlClientBase[Any], query: str, values: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """The answer in batches. DuckDB gives Arrow; psycopg2 would hold all of it unless the server keeps the cursor."""
    if client.capabilities.sqlglot_dialect == "postgres":
        with client.begin_transaction():
            client.execute_sql(IN_UTC)
            client.execute_sql(f"declare talkover_rows no scroll cursor for {query}", *values)
            while rows := client.execute_sql(f"fetch {FETCH_ROWS} from talkover_rows"):
                yield _table_of(rows, schema)
        return
    with client.execute_query(query, *values) as cursor:
        if client.capabilities.sqlglot_dialect == "duckdb" and "agents" not in schema.names:
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
