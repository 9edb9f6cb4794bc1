"""The views' SQL: one file each in DuckDB's dialect, and its translation for other destinations."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files
from typing import cast

import sqlglot
from sqlglot import exp

from ..api.money import MONEY_DIGITS, MONEY_PLACES
from ..dlt_internals import ROW_COLUMNS
from ..errors import ConfigurationError
from ..sync.tables import KEYS, TableName, columns
from .thresholds import Thresholds, with_thresholds

DLT_TABLES = frozenset({"_dlt_loads"})
"""What views read of dlt's own tables: which loads were completed."""
TYPES: dict[str | None, str] = {
    "text": "varchar",
    "bool": "boolean",
    "bigint": "bigint",
    "double": "double",
    "decimal": f"decimal({MONEY_DIGITS}, {MONEY_PLACES})",
    "date": "date",
    "timestamp": "timestamptz",
    "json": "varchar",
}
"""The type of an empty column, by dlt's. PostgreSQL tells `text` from the `varchar` that dlt makes; of JSON a view only
asks whether there is any, and MariaDB casts nothing to it.
"""


@cache
def view_names() -> tuple[str, ...]:
    """Every view, each behind those that it reads."""
    stems = {file.name.removesuffix(".sql") for file in files(__package__).iterdir() if file.name.endswith(".sql")}
    reads = {name: sorted(read_by(name) & stems) for name in sorted(stems)}
    return tuple(TopologicalSorter(reads).static_order())


def read_by(name: str) -> set[str]:
    """Tables and views that view `name` reads, and its own steps."""
    return {table.name for table in _parsed(name).find_all(exp.Table)}


def view_columns(name: str) -> list[str]:
    """The columns of view `name`, in order."""
    return [column.alias_or_name for column in cast(exp.Query, _parsed(name)).selects]


def view_sql(
    name: str,
    dialect: str,
    qualify: Callable[[str], exp.Table] = exp.to_table,
    now: datetime | None = None,
    absent: Collection[str] = (),
    *,
    thresholds: Thresholds | None = None,
) -> str:
    """The statement that creates view `name`; see `view_query`."""
    query = view_query(name, dialect, qualify, now, absent, thresholds=thresholds)
    return written(exp.Create(this=qualify(name), kind="VIEW", replace=True, expression=query), dialect)


def view_query(
    name: str,
    dialect: str,
    qualify: Callable[[str], exp.Table] = exp.to_table,
    now: datetime | None = None,
    absent: Collection[str] = (),
    *,
    thresholds: Thresholds | None = None,
) -> exp.Expression:
    """The query of view `name`, for a dialect of sqlglot. `qualify` names where tables and views are.

    The view goes by its database's clock, or takes `now` (in UTC) for the time. The tables `absent` are empty for it.
    `thresholds` are those that replace its own.
    """
    query = with_thresholds(_parsed(name).copy(), thresholds or {})
    for table in list(query.find_all(exp.Table)):
        if table.name in absent:
            table.replace(stand_in(cast(TableName, table.name)).subquery(table.alias or table.name))
        elif table.name in KEYS or table.name in DLT_TABLES or table.name in view_names():
            table.replace(exp.alias_(qualify(table.name), table.alias or table.name, table=True))
    if now is not None:
        query = query.transform(_utc_now_is, sqlglot.parse_one(f"cast('{now:%Y-%m-%d %H:%M:%S}' as timestamp)"))
    if dialect not in ("duckdb", "postgres"):
        query = query.transform(_date_function)
    return DIFFERENCES[dialect](query) if dialect in DIFFERENCES else query


def written(statement: exp.Expression, dialect: str) -> str:
    """Raises ConfigurationError for a dialect that sqlglot does not know."""
    try:
        return statement.sql(dialect=dialect, pretty=True)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def stand_in(table: TableName) -> exp.Select:
    """The columns of a table that is not there, and no rows."""
    typed = [
        exp.alias_(exp.cast(exp.null(), exp.DataType.build(TYPES[column["data_type"]])), name)
        for name, column in (columns(table) | ROW_COLUMNS).items()
    ]
    # some dialects take no `where` without a `from`
    return exp.select(*typed).from_(exp.select("1 as one").subquery("nothing")).where("1 = 0")


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
    """Standard names and nulls: ClickHouse calls a joined column `table.column`, and fills gaps with 0, '' and 1970."""
    for select in query.find_all(exp.Select):
        columns = [
            exp.alias_(column, column.name) if isinstance(column, exp.Column) and not column.is_star else column
            for column in select.expressions
        ]
        select.set("expressions", columns)
    for function in query.find_all(exp.Lag, exp.Lead):
        function.set("this", exp.func("toNullable", function.this))
    last = query.expression if isinstance(query, exp.Union) else query
    settings = ("join_use_nulls", "prefer_column_name_to_alias")
    last.set("settings", [exp.EQ(this=exp.to_identifier(name), expression=exp.Literal.number(1)) for name in settings])
    return query


def _for_bigquery(query: exp.Expression) -> exp.Expression:
    """BigQuery's NUMERIC has nine places, and a cast to it rounds to no fewer."""

    def rounded(node: exp.Expression) -> exp.Expression:
        is_money = isinstance(node, exp.Cast) and node.to.is_type("decimal")
        return exp.Round(this=node, decimals=exp.Literal.number(MONEY_PLACES)) if is_money else node

    return query.transform(rounded)


DIFFERENCES: dict[str, Callable[[exp.Expression], exp.Expression]] = {
    "mysql": _for_mysql,
    "clickhouse": _for_clickhouse,
    "bigquery": _for_bigquery,
}
"""What sqlglot cannot know of a dialect."""


@cache
def _parsed(name: str) -> exp.Expression:
    text = files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return cast(exp.Expression, sqlglot.parse_one(text, read="duckdb"))
