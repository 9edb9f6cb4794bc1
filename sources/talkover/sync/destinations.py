"""What a destination must be able to do. dlt is asked, and only what it says, before any request is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.destination.exceptions import DestinationCapabilitiesException
from dlt.common.destination.utils import resolve_merge_strategy
from dlt.common.schema.typing import TTableSchema
from dlt.destinations.sql_client import WithSqlClient

from ..api.fields import AGENT, PHONE_NUMBER
from ..api.reading import quote
from ..api.unknown import MARK
from ..errors import ConfigurationError, InvalidRow
from .tables import MERGE

OF_DAYS, OF_INSTANTS = (date(1970, 1, 1), date(2149, 6, 6)), (date(1900, 1, 1), date(2299, 12, 31))
"""The first and the last day that ClickHouse holds in the types that dlt gives it, `Date` and `DateTime64`. It stores
another day in place of any other, without a word.
"""
LISTS = {*PHONE_NUMBER.lists, *AGENT.lists}
"""Columns that are JSON, beside those of fields that no page documents."""
OF_A_LISTING = "Nothing of this list was loaded. Correct it in Talkover, or load into another destination"
NUL, NUL_OF_JSON = r"\x00", r"(?:^|[^\\])(?:\\\\)*\\u0000"

INSTEAD = (
    "No request was sent. What works: DuckDB, DuckLake (Parquet files in a folder or bucket), PostgreSQL and "
    "the warehouses in docs/destinations.md"
)


def refuse_unfit(pipeline: dlt.Pipeline) -> None:
    """Raises ConfigurationError where nothing could be read back or no row could be deleted; needs no credentials."""
    destination = pipeline.destination
    if MERGE["strategy"] not in (destination.capabilities().supported_merge_strategies or ()):
        raise _cannot_remove(destination.destination_name)
    try:
        client_class = destination.client_class
    except ImportError as error:
        # dlt lets the driver's own error through
        name = destination.destination_type.rpartition(".")[2]
        raise ConfigurationError(
            f"destination {destination.destination_name!r} needs a package that is not installed ({error}). "
            f"`pip install 'dlt[{name}]'` brings it"
        ) from None
    if not issubclass(client_class, WithSqlClient):
        raise ConfigurationError(
            f"destination {destination.destination_name!r} cannot be read by SQL, so nothing could be "
            f"compared. {INSTEAD}"
        )


def arrow_format(pipeline: dlt.Pipeline) -> Any:
    """The format in which the destination takes Arrow tables best; None where it takes none.

    dlt prefers INSERT statements for DuckDB and PostgreSQL, which take several times as long as Parquet or COPY.
    Not JSON lines: dlt lets DuckDB guess their types, and a text that looks like a time or a UUID is rewritten as one.
    For all others dlt makes objects of Arrow tables, in which JSON is a text: MariaDB holds a JSON string then.
    """
    best = {"duckdb": "parquet", "postgres": "csv"}
    return best.get(pipeline.destination.capabilities().sqlglot_dialect or "")


def refuse_unfit_tables(pipeline: dlt.Pipeline, tables: Iterable[TTableSchema]) -> None:
    """Raises ConfigurationError unless each of `tables` is merged by delete-insert: anything else keeps tombstones as
    rows, or rows that are gone. The format of a table (Delta, Iceberg) can be the reason, or what a caller chose.
    """
    client: Any = pipeline.destination_client()
    for table in tables:
        disposition = table.get("write_disposition")
        if disposition != MERGE["disposition"]:
            raise _other_disposition(table, repr(disposition))
        try:
            strategy = resolve_merge_strategy({str(table["name"]): table}, table, client.capabilities)
        except DestinationCapabilitiesException:
            strategy = None
        if strategy is None:
            table_format = table.get("table_format") or client.capabilities.preferred_table_format
            raise _cannot_remove(pipeline.destination.destination_name, table_format)
        if strategy != MERGE["strategy"]:
            raise _other_disposition(table, f"merge by {strategy!r}")


def refuse_unfit_values(
    pipeline: dlt.Pipeline, rows: pa.Table, asked: str, lists: Collection[str] = (), advice: str = OF_A_LISTING
) -> None:
    """Raises InvalidRow where `rows`, of which `id` is one column, have a value that the destination does not hold.

    `asked` is how the error names where they are from, `advice` what it says to do. `lists` are columns of JSON besides
    those that are told by their name.
    """
    unfit: dict[str, Callable[[pa.Table], Iterator[Unfit]]] = {
        "clickhouse": _days_out_of_range,
        "postgres": partial(_texts_with_nul, {*LISTS, *lists}),
    }
    find = unfit.get(pipeline.destination.capabilities().sqlglot_dialect or "")
    for name, is_unfit, why in find(rows) if find and rows.num_rows else ():
        for row in rows.filter(is_unfit).slice(0, 1).select([*{"id", name}]).to_pylist():
            value = quote(row[name]) if isinstance(row[name], str) else row[name]
            raise InvalidRow(f"{asked}, id {quote(row['id'])}: {name} is {value}, {why}. {advice}")


Unfit = tuple[str, Any, str]
"""A column, which of its values are unfit, and why."""


def _days_out_of_range(rows: pa.Table) -> Iterator[Unfit]:
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            first, last = OF_DAYS if pa.types.is_date(column.type) else OF_INSTANTS
            days = column.cast(pa.date32())
            is_outside = pc.or_(pc.less(days, pa.scalar(first)), pc.greater(days, pa.scalar(last)))
            yield name, is_outside, f"and ClickHouse holds {first} to {last} alone: it would store another day"


def _texts_with_nul(lists: Collection[str], rows: pa.Table) -> Iterator[Unfit]:
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_string(column.type):
            nul = NUL_OF_JSON if name in lists or name.endswith(f"{MARK}json") else NUL
            found = pc.match_substring_regex(column, nul)
            yield name, found, "in which is a NUL (\\u0000): PostgreSQL holds none"


def _other_disposition(table: TTableSchema, found: str) -> ConfigurationError:
    return ConfigurationError(
        f"{table['name']}: write disposition {found} would keep what is gone, or lose what is not sent again, since a "
        "run sends only what differs. Leave write_disposition out: it is merge by delete-insert. To send every row "
        "again take full_refresh=True, to begin anew refresh='drop_sources'. No request was sent"
    )


def _cannot_remove(destination: str, table_format: str | None = None) -> ConfigurationError:
    what = f"{destination!r} with table format {table_format!r}" if table_format else repr(destination)
    return ConfigurationError(
        f"destination {what} cannot delete rows by their key while it merges (dlt has no delete-insert for it): "
        f"numbers that are gone would stay, or every run would be appended. {INSTEAD}"
    )
