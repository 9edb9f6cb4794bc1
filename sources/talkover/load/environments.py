"""Environments that got another name, or are no more: what is loaded of them follows, and keeps its history.

Each is one transaction where the destination has them; elsewhere, and where it was interrupted, run it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.storages.load_package import create_load_id
from dlt.destinations.sql_client import SqlClientBase

from .. import __version__
from ..dlt_internals import row_ids
from ..errors import ConfigurationError, LoadError
from ..sync.held import LastRun, last_runs
from ..sync.run import CLOCK_TOLERANCE
from ..sync.settings import configured_environments
from ..sync.tables import KEYS, TableName
from ..text import is_name
from .failures import translate_errors
from .load import refuse_nothing, settle
from .lock import WAIT_SECONDS, dataset_lock, pipeline_lock
from .pipeline import PIPELINE, Place, open_pipeline
from .settings import defaults

LEDGER: TableName = "load_runs"
LOG: TableName = "phone_number_changes"
OWN_OF_LOG = frozenset({"change_type", "changed_at", "_dlt_load_id", "_dlt_id"})
"""What a row of the log does not have from the version that went before."""
OF_NOW: tuple[TableName, ...] = ("phone_numbers", "phone_number_agents", "agents", "agent_phone_numbers")
"""The tables of what an environment holds now. All others are history."""

COUNT = "select count(*) from {table} where environment_key = %s"
DELETE = "delete from {table} where environment_key = %s"
UPDATE = "update {table} set {column} = %s where environment_key = %s"
UPDATE_IN_CLICKHOUSE = "alter table {table} update {column} = %s where environment_key = %s settings mutations_sync = 2"
COPY_RENAMED = (
    "insert into {table} ({columns}, environment_key) select {columns}, %s from {table} where environment_key = %s"
)
NO_LONGER_HELD = """
insert into {table} ({columns}, change_type, changed_at, _dlt_load_id, _dlt_id)
select {columns}, 'removed', %s, %s, concat(_dlt_id, '-removed') from (
    select {columns}, change_type, _dlt_id, row_number() over (partition by id order by changed_at desc) as version_age
    from {table}
) versions
where version_age = 1 and environment_key = %s and change_type <> 'removed'
"""
ADD = "insert into {table} ({columns}) values ({values})"


@dataclass(frozen=True)
class Retired:
    """What an environment held when it ended, and when that was; None where it had ended before."""

    numbers: int
    agents: int
    at: datetime | None


def rename_environment(
    old: str, new: str, *, destination: Any = None, dataset: str | None = None, pipeline_name: str = PIPELINE
) -> bool:
    """Gives environment `old` the name `new` in every table, so that no row counts as changed.

    False where nothing is called `old` any more, and `new` had another name before.

    Raises:
        ConfigurationError: no such environment was loaded, or `new` is another one.
        NothingLoaded: nothing was loaded yet.
        RunInProgress, LoadError: as for `load_account`.
    """
    if old == new or not (is_name(old) and is_name(new)):
        raise ConfigurationError(f"{new!r} is no other name for environment {old!r}")
    with _opened(destination, dataset, pipeline_name) as job:
        client, runs = job.sql_client, last_runs(job.sql_client)
        tables = [table for table in KEYS if _count(client, table, old)]
        if not tables and new in runs and runs[new].hashed_as is not None:
            return False
        _refuse_unknown(old, runs)
        first_name = runs[old].hashed_as or old
        if new in runs and not (_is_half_renamed(client, runs[old], runs[new]) and tables == [LEDGER]):
            raise ConfigurationError(
                f"environment {new!r} has a history of its own, of {runs[new].observed_at:%Y-%m-%d %H:%M} UTC, and "
                "two cannot become one. Take another name. Nothing was changed"
            )
        with _transaction(client):
            _update(client, LEDGER, "hashed_as", first_name, old)
            for table in tables:  # the ledger last, since it tells how far a killed one came
                _rename(client, table, old, new)
    return True


def retire_environment(
    name: str,
    *,
    observed_at: datetime | None = None,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
) -> Retired:
    """Ends environment `name`: its numbers are removed as of `observed_at`, its history and its calls stay.

    `observed_at` is now unless given, to whole seconds. Requests are history, so they stay as they are.

    Raises:
        ConfigurationError: no such environment was loaded, it is configured still, or the instant cannot be.
        NothingLoaded: nothing was loaded yet.
        RunInProgress, LoadError: as for `load_account`.
    """
    with _opened(destination, dataset, pipeline_name) as job:
        if name in configured_environments():
            raise ConfigurationError(
                f"environment {name!r} is configured, and the next load would bring its numbers back: take it out of "
                "your settings first. Nothing was changed"
            )
        client, runs = job.sql_client, last_runs(job.sql_client)
        _refuse_unknown(name, runs)
        held = {table: rows for table in OF_NOW if (rows := _count(client, table, name))}
        if runs[name].is_retired and not held:
            return Retired(0, 0, None)
        at = _instant(observed_at, runs[name])
        numbers, agents = held.get("phone_numbers", 0), held.get("agents", 0)
        load_id = create_load_id()
        row = _ledger_row(name, at, runs[name], numbers, agents) | {"_dlt_load_id": load_id}
        with _transaction(client):
            columns = ", ".join(_columns(client, LOG, besides=OWN_OF_LOG))
            _run(client, NO_LONGER_HELD, LOG, at, load_id, name, columns=columns)
            for table in held:  # a table that is not there would end the transaction
                _run(client, DELETE, table, name)
            _run(client, ADD, LEDGER, *row.values(), columns=", ".join(row), values=", ".join(["%s"] * len(row)))
            job.complete_load(load_id)
    return Retired(numbers, agents, at)


@contextmanager
def _opened(destination: Any, dataset: str | None, pipeline_name: str) -> Iterator[Any]:
    """dlt's client of the destination, while nothing else loads there and nothing of an earlier run is pending."""
    with translate_errors(), pipeline_lock(pipeline_name, WAIT_SECONDS), defaults:
        place = Place.of(open_pipeline(destination, dataset, pipeline_name))
        refuse_nothing(place)
        with dataset_lock(place, WAIT_SECONDS):
            settle(place)
            place.pipeline.sync_destination()
            if "hashed_as" not in place.pipeline.default_schema.get_table_columns(LEDGER):
                raise LoadError("the tables are those of an earlier version: run `talkover load` once, then this again")
            with place.pipeline.destination_client() as job:
                yield job


def _transaction(client: SqlClientBase[Any]) -> AbstractContextManager[Any]:
    """One where dlt says so. BigQuery has them in a session alone, which its emulator lacks."""
    return client.begin_transaction() if client.capabilities.supports_ddl_transactions else nullcontext()


def _is_half_renamed(client: SqlClientBase[Any], old: LastRun, new: LastRun) -> bool:
    """Whether both may be one, whose ledger was being copied where there are no transactions."""
    is_copied = not client.capabilities.supports_ddl_transactions
    return is_copied and old.hashed_as is not None and old.hashed_as == new.hashed_as


def _refuse_unknown(name: str, runs: dict[str, LastRun]) -> None:
    if name not in runs:
        raise ConfigurationError(f"no environment {name!r} was loaded. There are {', '.join(map(repr, sorted(runs)))}")


def _instant(given: datetime | None, last: LastRun) -> datetime:
    """A whole second, since not every driver writes more, and one after the last run. Raises ConfigurationError."""
    now = datetime.now(timezone.utc)
    at = given or now
    if at <= last.observed_at or at > now + CLOCK_TOLERANCE:
        raise ConfigurationError(
            f"{at.isoformat()} is not between the environment's last load, {last.observed_at.isoformat()}, and now: "
            "history only goes forward. Give another --observed-at"
        )
    return at.replace(microsecond=0) + timedelta(seconds=1) if at.microsecond else at


def _ledger_row(name: str, at: datetime, last: LastRun, numbers: int, agents: int) -> dict[str, Any]:
    row = {
        "run_id": uuid4().hex,
        "environment_key": name,
        "started_at": datetime.now(timezone.utc),
        "observed_at": at,
        "requests_made": 0,
        "requests_a_minute": 0,
        "connector_version": __version__,
        "phone_numbers_removed": numbers,
        "agents_removed": agents,
        "hashed_as": last.hashed_as,
        "is_retired": True,
        "_dlt_id": row_ids(1)[0],
    }
    return {name: value for name, value in row.items() if value is not None}


# Statements. Names in them are our own, values are parameters.


def _run(client: SqlClientBase[Any], statement: str, table: TableName, *values: Any, **parts: str) -> Any:
    return client.execute_sql(statement.format(table=client.make_qualified_table_name(table), **parts), *values)


def _count(client: SqlClientBase[Any], table: TableName, environment_key: str) -> int:
    """The rows of an environment in `table`, none where there is no such table."""
    try:
        rows = _run(client, COUNT, table, environment_key)
    except DestinationUndefinedEntity:
        return 0
    return int(rows[0][0]) if rows else 0


def _is_clickhouse(client: SqlClientBase[Any]) -> bool:
    return client.capabilities.sqlglot_dialect == "clickhouse"


def _update(client: SqlClientBase[Any], table: TableName, column: str, value: str, environment_key: str) -> None:
    statement = UPDATE_IN_CLICKHOUSE if _is_clickhouse(client) else UPDATE
    _run(client, statement, table, value, environment_key, column=column)


def _rename(client: SqlClientBase[Any], table: TableName, old: str, new: str) -> None:
    """ClickHouse changes no column of a table's key: there rows are copied, and what a killed copy left goes first."""
    if not _is_clickhouse(client) or "environment_key" not in KEYS[table]:
        _update(client, table, "environment_key", new, old)
    else:
        columns = ", ".join(_columns(client, table, besides={"environment_key"}))
        _run(client, DELETE, table, new)
        _run(client, COPY_RENAMED, table, new, old, columns=columns)
        _run(client, DELETE, table, old)


def _columns(client: SqlClientBase[Any], table: TableName, besides: Collection[str]) -> list[str]:
    """The columns of `table` that are not `besides`, as SQL spells them."""
    query = f"select * from {client.make_qualified_table_name(table)} where 1 = 0"  # noqa: S608  our own name
    with client.execute_query(query) as cursor:
        return [client.escape_column_name(name) for name in cursor.columns_schema if name.lower() not in besides]
