"""The views, one SQL file each in DuckDB's dialect, and their creation on any SQL destination.

phone_numbers, phone_number_changes, …, load_runs → current_numbers, monthly_cost, findings, …
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from graphlib import TopologicalSorter
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import sqlglot
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.exceptions import DltException
from dlt.destinations.sql_client import SqlClientBase
from sqlglot import exp
from sqlglot._version import __version__ as sqlglot_version

from ..api.money import MONEY_PLACES
from ..errors import ConfigurationError, LoadError
from ..sync.tables import KEYS

KEPT = "talkover_views.json"
REASON_LENGTH = 200
"""Characters: some drivers repeat the whole statement."""


@cache
def view_names() -> tuple[str, ...]:
    """Every view, each behind those that it reads."""
    stems = {file.name.removesuffix(".sql") for file in files(__name__).iterdir() if file.name.endswith(".sql")}
    reads = {name: sorted(_read_by(name) & stems) for name in sorted(stems)}
    return tuple(TopologicalSorter(reads).static_order())


def _read_by(name: str) -> set[str]:
    """Tables and views that view `name` reads, and its own steps."""
    return {table.name for table in _parsed(name).find_all(exp.Table)}


def view_sql(
    name: str, dialect: str, qualify: Callable[[str], exp.Table] = exp.to_table, now: datetime | None = None
) -> str:
    """The statement that creates view `name`, in a dialect of sqlglot. `qualify` tells where tables and views are.

    The view goes by its database's clock, or takes `now` (in UTC) for the time. Raises ConfigurationError for a dialect
    that sqlglot does not know.
    """
    query = _parsed(name).copy()
    for table in list(query.find_all(exp.Table)):
        if table.name in KEYS or table.name in view_names():
            table.replace(exp.alias_(qualify(table.name), table.alias or table.name, table=True))
    if now is not None:
        query = query.transform(_utc_now_is, sqlglot.parse_one(f"cast('{now:%Y-%m-%d %H:%M:%S}' as timestamp)"))
    if dialect not in ("duckdb", "postgres"):
        query = query.transform(_date_function)
    if dialect in DIFFERENCES:
        query = DIFFERENCES[dialect](query)
    statement = exp.Create(this=qualify(name), kind="VIEW", replace=True, expression=query)
    try:
        return statement.sql(dialect=dialect, pretty=True)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


@dataclass(frozen=True)
class Views:
    """What became of the views: `failed` is name to reason, `missing` are tables that are not there."""

    made: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def not_made(self) -> set[str]:
        """The views that read one of the missing tables, by way of other views or themselves."""
        gone = set(self.missing)
        for name in view_names():
            if gone & _read_by(name):
                gone.add(name)
        return gone - set(self.missing)

    @property
    def notes(self) -> list[str]:
        """The sentence that tells of missing tables, where any is."""
        if not self.missing:
            return []
        views = ", ".join(name for name in view_names() if name in self.not_made)
        says = f"the dataset has no {' or '.join(self.missing)}, so these views were not made: {views}"
        return [f"{says}. `talkover load` brings every table"]


def create_views(client: SqlClientBase[Any], folder: Path, now: datetime | None = None) -> Views:
    """Creates every view whose tables are there, in the dataset of `client`.

    `folder` is the pipeline's own, where the statements are kept. A view left from before, whose table is gone, stays.
    `now`: see `view_sql`.
    """
    statements = _statements(client, folder / KEPT, now)
    failed = _run(client, statements)
    if not failed:
        return Views(tuple(statements))
    missing = _missing_tables(client)
    not_made = Views(missing=missing).not_made
    possible = {name: statement for name, statement in statements.items() if name not in not_made}
    if failed.keys() & possible.keys():
        # PostgreSQL replaces no view by one with other columns, as those of an earlier version may have
        with suppress(Exception):  # a lost connection is told of by what follows
            drop_views(client)
        failed = _run(client, possible)
    failed = {name: reason for name, reason in failed.items() if name in possible}
    return Views(tuple(name for name in possible if name not in failed), failed, missing)


def _run(client: SqlClientBase[Any], statements: dict[str, str]) -> dict[str, str]:
    failed: dict[str, str] = {}
    for name, statement in statements.items():
        try:
            client.execute_sql(statement)
        except DltException as error:
            failed[name] = shorten(str(error), REASON_LENGTH)
        except Exception as error:  # a connection is lost: drivers, and dlt, raise what they like then
            reason = next(iter(failed.values()), shorten(str(error), REASON_LENGTH))
            raise LoadError(f"the tables are as loaded, but the views could not be created: {reason}") from error
    return failed


def _missing_tables(client: SqlClientBase[Any]) -> tuple[str, ...]:
    """The tables that views read and that are not there."""
    read = {table for view in view_names() for table in _read_by(view)}
    return tuple(table for table in KEYS if table in read and not _is_there(client, table))


def _is_there(client: SqlClientBase[Any], table: str) -> bool:
    try:
        client.execute_sql(f"select 1 from {client.make_qualified_table_name(table)} where 1 = 0")  # noqa: S608  our own
    except DestinationUndefinedEntity:
        return False
    except DltException:
        return True  # but may not be read, as the views' own reasons say
    return True


def _statements(client: SqlClientBase[Any], kept: Path, now: datetime | None) -> dict[str, str]:
    """View to the statement that creates it, in their order.

    To translate them takes longer than a small load: they are kept in dlt's working directory until anything differs.
    """
    dialect = client.capabilities.sqlglot_dialect or "duckdb"
    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.iterdir()) if path.is_file()]
    where = client.make_qualified_table_name(KEPT)
    made_of = blake2b(b"\0".join([*sources, f"{dialect} {where} {sqlglot_version} {now}".encode()])).hexdigest()
    with suppress(OSError, ValueError):
        found = json.loads(kept.read_bytes())
        if found["made_of"] == made_of:
            return dict(found["statements"])

    def qualify(name: str) -> exp.Table:
        path = client.make_qualified_table_name_path(name, quote=False)
        catalog, dataset, table = [""] * (3 - len(path)) + path
        return exp.table_(table, db=dataset, catalog=catalog, quoted=True)

    statements = {name: view_sql(name, dialect, qualify, now) for name in view_names()}
    with suppress(OSError):
        kept.write_text(json.dumps({"made_of": made_of, "statements": statements}))
    return statements


def drop_views(client: SqlClientBase[Any]) -> None:
    """Drops every view that is there, each before those that it reads."""
    for name in reversed(view_names()):
        client.execute_sql(f"drop view if exists {client.make_qualified_table_name(name)}")


def _utc_now_is(node: exp.Expression, now: exp.Expression) -> exp.Expression:
    """`current_timestamp at time zone 'UTC'` as the instant `now`."""
    return now.copy() if isinstance(node, exp.AtTimeZone) and isinstance(node.this, exp.CurrentTimestamp) else node


def _date_function(node: exp.Expression) -> exp.Expression:
    """`day + n * interval 1 month`, which few understand, as the function that each dialect has for it."""
    by = node.expression if isinstance(node, exp.Add) else None
    if isinstance(by, exp.Mul) and isinstance(by.expression, exp.Interval):
        return exp.DateAdd(this=node.this, expression=by.this, unit=by.expression.unit)
    return node


def _for_mysql(query: exp.Expression) -> exp.Expression:
    """MySQL and MariaDB have no instants with a zone: dlt stores them in UTC."""

    def without_zone(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, exp.AtTimeZone):
            return node
        return exp.Anonymous(this="UTC_TIMESTAMP") if isinstance(node.this, exp.CurrentTimestamp) else node.this

    return query.transform(without_zone)


def _for_clickhouse(query: exp.Expression) -> exp.Expression:
    """Standard names, nulls and money: ClickHouse calls a joined column `table.column`, fills gaps with 0, '' and 1970,
    and writes 1.4400 as 1.44.
    """
    for select in query.find_all(exp.Select):
        columns = [
            exp.alias_(column, column.name) if isinstance(column, exp.Column) and not column.is_star else column
            for column in select.expressions
        ]
        select.set("expressions", columns)
    for function in query.find_all(exp.Lag, exp.Lead):
        function.set("this", exp.func("toNullable", function.this))
    for money in [node for node in query.find_all(exp.Cast) if _is_money_as_text(node)]:
        money.replace(exp.func("toDecimalString", money.this, exp.Literal.number(MONEY_PLACES)))
    last = query.expression if isinstance(query, exp.Union) else query
    settings = ("join_use_nulls", "prefer_column_name_to_alias")
    last.set("settings", [exp.EQ(this=exp.to_identifier(name), expression=exp.Literal.number(1)) for name in settings])
    return query


def _is_money_as_text(node: exp.Cast) -> bool:
    column = node.find(exp.Column)
    return node.is_type(*exp.DataType.TEXT_TYPES) and column is not None and column.name.endswith("_cost")


DIFFERENCES: dict[str, Callable[[exp.Expression], exp.Expression]] = {
    "mysql": _for_mysql,
    "clickhouse": _for_clickhouse,
}
"""What sqlglot cannot know of a dialect."""


@cache
def _parsed(name: str) -> exp.Expression:
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return cast(exp.Expression, sqlglot.parse_one(text, read="duckdb"))
