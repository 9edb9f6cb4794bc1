"""What the destination holds of earlier runs: the connector's only memory, so a lost working directory costs nothing.

Plain SQL through dlt's `sql_client`, so that it reads the same on every SQL destination. Ids are interned: the same
ones stand in several tables and in the listing, and would be most of the memory of a large run.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from sys import intern
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.sql_client import SqlClientBase

from ..errors import LoadError
from ..views import drop_views
from .changes import Filled, Known
from .tables import KEYS, TableName

NOBODY = ""
"""The environment of a tombstone that an earlier version left as a row."""
FETCH_ROWS = 10_000
IDS_A_QUERY = 500
IN_UTC = "set local time zone 'UTC'"
"""PostgreSQL writes instants in its session's zone, where the first and the last are of years that Python lacks."""

log = logging.getLogger("talkover")


@dataclass(frozen=True)
class Log:
    """The latest version of each id in a change log.

    `newest` is by environment; `just_added` are the ids whose latest version added them at the very instant that this
    run is dated with, `elsewhere` has the instants of ids whose latest version, removals too, is of an environment that
    this run does not list.
    """

    known: Known[str]
    newest: dict[str, datetime]
    just_added: set[str]
    elsewhere: dict[str, datetime]


class Memory:
    """Reads what the tables of `schema` hold, in the pipeline that extracts now.

    A source that is iterated without a pipeline knows nothing, and neither does anyone of a table that this very run
    drops or truncates (dlt's `refresh` modes): those still hold their rows while the run extracts. `missing` collects
    the tables that were asked for and are not there.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.missing: set[TableName] = set()
        try:
            package: Any = dlt.current.load_package_state()["state"]
        except CurrentLoadPackageStateNotAvailable:
            self.is_in_pipeline = False
            return
        self.is_in_pipeline = True
        self._drops = bool(package.get("dropped_tables"))
        emptied = [*package.get("dropped_tables", ()), *package.get("truncated_tables", ())]
        self._emptied = {table["name"] for table in emptied}

    def current(self, table: TableName, *, is_repair: bool = False) -> Known[Any]:
        """The fingerprint and environment of every row in `table`, by its key (a tuple where that has two columns).

        Raises LoadError where a key stands twice or a tombstone stands as a row, unless the run is to repair that: then
        such a tombstone is of the environment NOBODY.
        """
        fingerprints: dict[Any, str] = {}
        environments: dict[Any, str] = {}
        key = KEYS[table]
        for *values, fingerprint, environment in self._select(table, [*key, "row_fingerprint", "environment_key"]):
            identity = intern(values[0]) if len(key) == 1 else tuple(map(intern, values))
            is_damaged = fingerprint is None or environment is None or identity in fingerprints
            if is_damaged and not is_repair:
                raise LoadError(
                    f"{table} holds {identity!r} twice or as a row without values: an earlier run loaded it with "
                    "another write disposition than merge. Nothing was loaded. `talkover load --full-refresh` "
                    "(full_refresh=True) repairs the table; the change logs keep their history"
                )
            fingerprints[identity] = fingerprint or ""
            environments[identity] = intern(environment or environments.get(identity, NOBODY))
        return Known(fingerprints, environments)

    def latest(self, table: TableName, own: Collection[str], observed_at: datetime) -> Log:
        """The latest version of every id in the change log `table`; ids that were removed are not known any more.

        `own` are the environments of this run, `observed_at` is the instant that it is dated with.
        """
        fingerprints: dict[str, str] = {}
        environments: dict[str, str] = {}
        newest: dict[str, datetime] = {}
        just_added: set[str] = set()
        elsewhere: dict[str, datetime] = {}
        columns = ["id", "row_fingerprint", "environment_key", "change_type", "changed_at"]
        for id, fingerprint, environment_key, change_type, changed_at in self._select(table, columns, latest=True):
            instant = in_utc(changed_at)
            environment = intern(environment_key)
            newest[environment] = max(instant, newest.get(environment, instant))
            if environment not in own:
                elsewhere[id] = instant
            if change_type == "removed":
                continue
            fingerprints[intern(id)] = fingerprint
            environments[intern(id)] = environment
            if change_type == "added" and instant == observed_at:
                just_added.add(id)
        return Log(Known(fingerprints, environments), newest, just_added, elsewhere)

    def latest_rows(self, table: TableName, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The latest version of each of `ids` in the change log `table`, whole: column to value as a listing has it."""
        rows: dict[str, dict[str, Any]] = {}
        for start in range(0, len(ids), IDS_A_QUERY):
            columns = {
                name: column
                for name, column in self._schema.get_table_columns(table).items()
                if not name.startswith("_dlt_")
            }
            for values in self._select(table, list(columns), latest=True, ids=ids[start : start + IDS_A_QUERY]):
                row = {
                    name: _in_json(value, column.get("data_type"))
                    for (name, column), value in zip(columns.items(), values, strict=True)
                }
                rows[row["id"]] = row
        return rows

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
        any(self._select(table, ["environment_key"]))

    def last_observed(self, environments: Collection[str]) -> datetime | None:
        """The instant of the latest run of any of `environments`, by the ledger."""
        runs = self._select("load_runs", ["environment_key", "observed_at"])
        return max((in_utc(at) for environment, at in runs if environment in environments), default=None)

    def let_tables_go(self) -> None:
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
        self, table: TableName, columns: Sequence[str], *, latest: bool = False, ids: Sequence[str] = ()
    ) -> Iterator[Sequence[Any]]:
        if not self._is_readable(table):
            self.missing.add(table)
            return
        with self._client as client:
            name = client.make_qualified_table_name(table)
            listed = ", ".join(map(client.escape_column_name, columns))
            id, changed_at = client.escape_column_name("id"), client.escape_column_name("changed_at")
            source = f"from {name}"
            if ids:
                source += f" where {id} in ({', '.join(['%s'] * len(ids))})"
            if latest:
                age = f"row_number() over (partition by {id} order by {changed_at} desc) as version_age"
                source = f"from (select {listed}, {age} {source}) versions where version_age = 1"
            query = f"select {listed} {source}"  # our own names; values are parameters
            try:
                yield from _stream(client, query, ids)
            except DestinationUndefinedEntity:
                self.missing.add(table)  # the first run, or a table dropped by hand

    @cached_property
    def _client(self) -> SqlClientBase[Any]:
        pipeline = dlt.current.pipeline()
        is_known = self._schema.name in pipeline.schema_names
        return pipeline.sql_client(self._schema.name) if is_known else pipeline.sql_client()


def _stream(client: SqlClientBase[Any], query: str, values: Sequence[str]) -> Iterator[Sequence[Any]]:
    """The rows of `query`, in batches; psycopg2 would hold the whole answer unless the server keeps the cursor."""
    if client.capabilities.sqlglot_dialect == "postgres":
        with client.begin_transaction():
            client.execute_sql(IN_UTC)
            client.execute_sql(f"declare talkover_rows no scroll cursor for {query}", *values)
            while rows := client.execute_sql(f"fetch {FETCH_ROWS} from talkover_rows"):
                yield from rows
    else:
        with client.execute_query(query, *values) as cursor:
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield from rows


def _in_json(value: Any, data_type: str | None) -> Any:
    """What was loaded, as a listing has it: instants, days and money as text. Some drivers give 1 for true."""
    if value is None:
        return None
    if data_type == "bool":
        return bool(value)
    if data_type == "timestamp":
        return in_utc(value).isoformat()
    return str(value) if data_type in ("date", "decimal") else value


def in_utc(value: datetime | str) -> datetime:
    """Some drivers give instants without their zone, or as text; all of them are stored in UTC."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant.replace(tzinfo=timezone.utc) if instant.tzinfo is None else instant.astimezone(timezone.utc)
