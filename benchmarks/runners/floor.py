"""The least that can be done: requests, orjson and SQL written by hand. No history, no checks, no retries.

    python floor.py BASE_URL PER_PAGE [--threads N]

Both listings into loaded.duckdb: every row is written again, and those that are not listed any more are deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import orjson
from pages import COLUMNS, TABLES, Listings

LISTED = Path("listed.json")


def main() -> None:
    listings = Listings.of_command_line(__doc__)
    with duckdb.connect("loaded.duckdb") as connection:
        for endpoint, table in TABLES.items():
            keep(listings.pages(endpoint))
            write(connection, table)


def keep(pages: Iterable[list[dict[str, Any]]]) -> None:
    """Writes the rows into a file, one a line, which DuckDB reads faster than it takes values."""
    with LISTED.open("wb") as file:
        for rows in pages:
            file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def write(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """One transaction: what is listed replaces what was there under its id, and the rest goes."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS[table].items())
    kinds = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS[table].items())
    for statement in (
        f"create table if not exists {table} ({columns}, loaded_at timestamptz, primary key (id))",
        "begin",
        f"create temp table listed as from read_json('{LISTED}', format = 'newline_delimited', columns = {{{kinds}}})",
        f"insert or replace into {table} by name select *, now() as loaded_at from listed",
        f"delete from {table} where id not in (select id from listed)",
        "drop table listed",
        "commit",
    ):
        connection.execute(statement)


if __name__ == "__main__":
    main()
