"""SQL over Arrow tables, in a DuckDB that holds nothing by itself."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa


class Database:
    """One for a run: to open one takes as long as ten small queries."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()

    def query(self, sql: str, **tables: pa.Table) -> pa.Table:
        """The answer to `sql`, which reads `tables` by their names here."""
        for name, table in tables.items():
            self._connection.register(name, table)
        try:
            return self._connection.sql(sql).to_arrow_table()
        finally:
            for name in tables:
                self._connection.unregister(name)

    def rows(self, sql: str, **tables: pa.Table) -> list[tuple[Any, ...]]:
        """The same as a few rows of Python."""
        return [tuple(row.values()) for row in self.query(sql, **tables).to_pylist()]


def identifier(name: str) -> str:
    """`name` as SQL writes that of a column."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
