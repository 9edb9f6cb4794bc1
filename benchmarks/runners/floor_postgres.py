"""The floor for PostgreSQL: requests, orjson, COPY and SQL written by hand. No history, no checks, no retries.

    DESTINATION__POSTGRES__CREDENTIALS=URL python floor_postgres.py BASE_URL PER_PAGE [--threads N]

Both listings: every row is written again, and those that are not listed any more are deleted.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from tempfile import TemporaryFile
from typing import Any

import orjson
import psycopg2
from pages import COLUMNS, TABLES, Listings


def main() -> None:
    listings = Listings.of_command_line(__doc__)
    connection = psycopg2.connect(os.environ["DESTINATION__POSTGRES__CREDENTIALS"])
    for endpoint, table in TABLES.items():
        with connection, connection.cursor() as cursor:
            write(cursor, table, listings.pages(endpoint))
    connection.close()


def write(cursor: Any, table: str, pages: Iterable[list[dict[str, Any]]]) -> None:
    """In one transaction: what is listed replaces what was there under its id, and the rest goes."""
    kinds = COLUMNS[table]
    columns = ", ".join(kinds)
    columns_with_types = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    new_values = ", ".join(f"{name} = excluded.{name}" for name in (*kinds, "loaded_at"))
    cursor.execute(
        f"create table if not exists {table} ({columns_with_types}, loaded_at timestamptz, primary key (id))"
    )
    cursor.execute(f"create temp table listed ({columns_with_types}) on commit drop")
    with TemporaryFile("w+", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for rows in pages:
            writer.writerows([text(row.get(name)) for name in kinds] for row in rows)
        file.seek(0)
        cursor.copy_expert(f"copy listed ({columns}) from stdin (format csv)", file)
    cursor.execute(f"insert into {table} select *, now() from listed on conflict (id) do update set {new_values}")
    cursor.execute(f"delete from {table} where not exists (select from listed where listed.id = {table}.id)")


def text(value: Any) -> Any:
    """As COPY takes it: null is nothing at all."""
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else value


if __name__ == "__main__":
    main()
