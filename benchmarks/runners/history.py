"""A large account with a past: a small one played week by week and loaded each time, then copied many times over.

    DESTINATION__DUCKDB__CREDENTIALS=loaded.duckdb python history.py NUMBERS WEEKS

Leaves at least NUMBERS numbers, and what happened to them in WEEKS weeks, in loaded.duckdb with the views over it. A
copy has ids and numbers of its own, and lives as the number does that it is a copy of.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone

import duckdb

from talkover import load_account
from talkover.sandbox import Account, Sandbox

PLAYED = 200
"""Numbers when the account is founded."""
TABLES = ("phone_numbers", "phone_number_changes", "phone_number_agents", "release_requests", "release_request_changes")
IDS, NUMBERS = ("id", "phone_number_id"), ("number", "phone_number")
COUNTED = [
    f"{listing}_{what}"
    for listing in ("phone_numbers", "release_requests")
    for what in ("listed", "total", "added", "changed", "removed")
]


def main() -> None:
    numbers, weeks = map(int, sys.argv[1:])
    play(min(PLAYED, numbers), weeks)
    with duckdb.connect("loaded.duckdb") as connection:
        multiply(connection, numbers)


def play(size: int, weeks: int) -> None:
    now = datetime.now(timezone.utc)
    account = Account(size=size, founded=(now - timedelta(weeks=weeks)).date())
    with Sandbox(account) as sandbox:
        for week in range(weeks, -1, -1):
            observed_at = now - timedelta(weeks=week)
            account.advance(observed_at.date())
            load_account(
                api_token=sandbox.token,
                base_url=sandbox.base_url,
                observed_at=observed_at,
                create_views=week == 0,
            )


def multiply(connection: duckdb.DuckDBPyConnection, numbers: int) -> None:
    """As many copies of every row as make `numbers` of those that are held now."""
    connection.execute("use talkover")
    ((held,),) = connection.execute("select count(*) from phone_numbers").fetchall()
    copies = -(-numbers // held)
    for table in TABLES:
        columns = [name for name, *_ in connection.execute(f"describe {table}").fetchall()]
        new = [f"md5({name} || copy)::uuid::text as {name}" for name in IDS if name in columns]
        new += [f"left({name}, -4) || printf('%04d', copy) as {name}" for name in NUMBERS if name in columns]
        copied = f"select {table}.* replace ({', '.join(new)}) from {table}, range(1, {copies}) as copies(copy)"
        connection.execute(f"insert into {table} {copied}")
    connection.execute(f"update load_runs set {', '.join(f'{name} = {name} * {copies}' for name in COUNTED)}")


if __name__ == "__main__":
    main()
