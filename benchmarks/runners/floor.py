"""The least that can be done: requests, orjson and SQL written by hand. No history, no checks, no retries.

    python floor.py BASE_URL PER_PAGE [--threads N]

Both listings into loaded.duckdb: every row is written again, and those that are not listed any more are deleted.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import orjson
import requests

TABLES = {"phone-numbers": "phone_numbers", "phone-numbers/release-requests": "release_requests"}
COLUMNS = {
    "phone_numbers": {
        **dict.fromkeys(("id", "number", "country_code", "formatted_number", "international_number", "type"), "text"),
        **dict.fromkeys(("has_voice", "has_sms", "has_mms", "has_fax", "has_whatsapp", "is_sandbox"), "boolean"),
        **dict.fromkeys(("current_price", "monthly_renewal_cost"), "decimal(18, 4)"),
        **dict.fromkeys(("current_status", "currency"), "text"),
        **dict.fromkeys(("created_at", "updated_at"), "timestamptz"),
        **dict.fromkeys(("auto_renewal", "is_due_for_monthly_renewal"), "boolean"),
        "renewal_date": "date",
        "days_until_monthly_renewal": "bigint",
        **dict.fromkeys(("environment", "agents"), "json"),
    },
    "release_requests": {
        **dict.fromkeys(("id", "phone_number_id", "phone_number", "reason", "status", "rejection_reason"), "text"),
        **dict.fromkeys(("requested_at", "resolved_at"), "timestamptz"),
    },
}
LISTED = Path("listed.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base_url")
    parser.add_argument("per_page", type=int)
    parser.add_argument("--threads", type=int, default=1, help="pages asked for side by side")
    options = parser.parse_args()
    with duckdb.connect("loaded.duckdb") as connection, requests.Session() as session:
        session.headers["Authorization"] = "Bearer talq_benchmark"
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=options.threads))
        for endpoint, table in TABLES.items():
            read(session, f"{options.base_url}/{endpoint}", options.per_page, options.threads)
            write(connection, table)


def read(session: requests.Session, url: str, per_page: int, threads: int) -> None:
    """Writes the rows of all pages into a file, one a line, which DuckDB reads faster than it takes values."""

    def page(number: int) -> Any:
        return orjson.loads(session.get(url, params={"page": number, "per_page": per_page}, timeout=60).content)

    first = page(1)
    with LISTED.open("wb") as file, ThreadPoolExecutor(threads) as pool:
        for answer in (first, *pool.map(page, range(2, first["meta"]["last_page"] + 1))):
            file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in answer["data"])


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
