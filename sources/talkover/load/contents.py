"""What a dataset holds: its tables as Arrow, a batch at a time, and sums by which two datasets are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.destinations.sql_client import SqlClientBase

from ..api.kinds import ARROW
from ..api.reading import quote
from ..api.unknown import as_json
from ..dlt_internals import ROW_COLUMNS, stored_columns
from ..errors import LoadError
from ..sync.database import Database, identifier, literal
from ..sync.held import of_completed_loads, stream
from ..sync.tables import KEYS, TableName, columns

SCHEMA = "talkover"
"""What dlt calls the tables of this source together."""

DataTypes = Mapping[str, str]
"""Column to what dlt calls its type; of dlt's own two columns none, since those tell of the load and not of the row."""


def held_tables(client: SqlClientBase[Any]) -> dict[TableName, DataTypes]:
    """The tables of this source that the dataset of `client` has, with the columns that they have there.

    Raises LoadError for a column that no load made.
    """
    there = {table: names for table in KEYS if (names := _column_names(client, table)) is not None}
    stored = stored_columns(client, SCHEMA) if there else {}
    return {table: _typed(table, names, stored.get(table, {})) for table, names in there.items()}


def is_loaded(client: SqlClientBase[Any]) -> bool:
    """Whether any load into the dataset of `client` was ever completed; one that was killed leaves rows, too."""
    name, status = map(client.escape_column_name, ("schema_name", "status"))
    loads = client.make_qualified_table_name("_dlt_loads")
    query = f"select count(*) from {loads} where {name} = %s and {status} = 0"  # noqa: S608  dlt's own names
    try:
        return any(count for (count,) in client.execute_sql(query, SCHEMA) or ())
    except DestinationUndefinedEntity:
        return False


def read_table(client: SqlClientBase[Any], table: TableName, types: DataTypes) -> Iterator[pa.Table]:
    """The columns `types` of `table`, in batches; JSON is text that is the same for the same value.

    A window of calls counts only where its load was completed: without that the next load reads its days again.
    """
    is_postgres = client.capabilities.sqlglot_dialect == "postgres"
    chosen = [
        f"cast({escaped} as text)" if is_postgres and data_type == "json" else escaped
        for name, data_type in types.items()
        for escaped in (client.escape_column_name(name),)
    ]
    query = f"select {', '.join(chosen)} from {client.make_qualified_table_name(table)}"  # noqa: S608  our own names
    if table == "call_windows":
        query += f" where {of_completed_loads(client)}"
    schema = pa.schema([pa.field(name, ARROW[types[name]], name not in KEYS[table]) for name in types])
    for batch in stream(client, query, (), schema):
        yield _with_plain_json(batch, [name for name, data_type in types.items() if data_type == "json"])


@dataclass(frozen=True)
class Digest:
    """How many rows a table has, and of each column a sum over all rows: of hashes of the row's key and the value.

    The sum does not depend on the order of the rows. Two tables with the same digest hold the same.
    """

    rows: int
    sums: Mapping[str, int]


def digest(client: SqlClientBase[Any], database: Database, table: TableName, types: DataTypes) -> Digest:
    """The digest of `table`, by the columns `types`."""
    key = ", ".join(map(identifier, KEYS[table]))
    hashes = {name: f"hash({literal(name)}, {key}, {identifier(name)})" for name in types}
    sums_of = [f"cast(sum({of_value}) as varchar) as {identifier(name)}" for name, of_value in hashes.items()]
    query = f"select count(*), {', '.join(sums_of)} from batch"  # noqa: S608  our own names
    rows, sums = 0, Counter[str]()
    for batch in read_table(client, table, types):
        ((count, *of_batch),) = database.rows(query, batch=batch)
        rows += count
        sums.update({name: int(text) for name, text in zip(types, of_batch, strict=True)})
    return Digest(rows, sums)


def _column_names(client: SqlClientBase[Any], table: TableName) -> list[str] | None:
    """The names of a table's columns without dlt's own two; None where it is not there."""
    query = f"select * from {client.make_qualified_table_name(table)} where 1 = 0"  # noqa: S608  our own name
    try:
        with client.execute_query(query) as cursor:
            names = [column.lower() for column in cursor.columns_schema]
    except DestinationUndefinedEntity:
        return None
    return [name for name in names if name not in ROW_COLUMNS]


def _typed(table: TableName, names: Sequence[str], stored: TTableSchemaColumns) -> DataTypes:
    known = stored | columns(table)
    types = {name: known.get(name, {}).get("data_type") for name in names}
    if strange := [name for name, data_type in types.items() if data_type not in ARROW]:
        raise LoadError(
            f"{table} has the column {quote(strange[0])}, which no load made: what it holds would not be copied. Drop "
            "it, or keep it in a table of yours"
        )
    return {name: str(data_type) for name, data_type in types.items()}


def _with_plain_json(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    for name in names:
        plain = [None if text is None else as_json(orjson.loads(text)) for text in rows[name].to_pylist()]
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), pa.array(plain, pa.string()))
    return rows
