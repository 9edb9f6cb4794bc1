"""Databases that an earlier version wrote: the current one loads on top of them as if it had made them itself.

`fixtures/upgrade` holds what version 0.1.0 left in DuckDB and PostgreSQL after four loads, dlt's own tables and views
included, and the account as it was at each; `make.py` there says how they were made.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from talkover import Summary
from talkover.sandbox import Account, Sandbox
from talkover.views import view_names

from .conftest import TABLES, Connector, Row, at
from .test_usage import OF_CALLS

OLD = Path(__file__).parent / "fixtures/upgrade"
LIVES: list[dict[str, Any]] = json.loads((OLD / "account.json").read_text())
LAST_DAY, TODAY = LIVES[-1]["day"], "2026-04-02"
OF_THE_RUN = {
    "run_id",
    "started_at",
    "requests_a_minute",
    "phone_numbers_listed_at",
    "release_requests_listed_at",
    "last_listing_at",
    "last_complete_listing_at",
}
"""What two runs over the same account do not have in common."""


def restore_duckdb() -> None:
    Path("talkover_pipeline.duckdb").write_bytes(gzip.decompress((OLD / "duckdb.gz").read_bytes()))


def restore_postgres() -> None:
    with (
        psycopg2.connect(os.environ["DESTINATION__POSTGRES__CREDENTIALS"]) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute((OLD / "postgres.sql").read_text())
    connection.close()


RESTORE: dict[str, Callable[[], None]] = {"duckdb": restore_duckdb, "postgres": restore_postgres}


def account_of(life: dict[str, Any]) -> Account:
    account = Account(size=0, founded=date.fromisoformat(life["day"]))
    account.numbers = {number["id"]: number for number in life["numbers"]}
    account.requests = {request["id"]: request for request in life["requests"]}
    return account


def load(connector: Connector, account: Account, day: str, *, create_views: bool = True) -> Summary:
    with Sandbox(account) as connector.sandbox:
        return connector.load(observed_at=at(f"{day}T06:00:00"), create_views=create_views)


@pytest.fixture
def upgraded(warehouse: str, sandbox: Sandbox) -> Connector:
    if warehouse not in RESTORE:
        pytest.skip(f"there is none of {warehouse}")
    RESTORE[warehouse]()
    return Connector(sandbox, warehouse)


def moved_on() -> Account:
    """The account a while after the last load of the old version: every kind of change."""
    account = account_of(json.loads(json.dumps(LIVES[-1])))
    ids = list(account.numbers)
    account.release(ids[1])
    account.numbers[ids[0]] |= {"type": "fax", "label": "other"}
    account.numbers[ids[4]] |= {"agents": [{"id": "new", "name": "New"}], "days_until_monthly_renewal": 3}
    account.numbers[LIVES[0]["numbers"][-1]["id"]] = LIVES[0]["numbers"][-1]  # given back under the old version
    account.buy()
    for request in account.requests.values():
        if request["status"] == "pending":
            request |= {"status": "rejected", "resolved_at": f"{TODAY}T01:00:00Z"}
    return account


def test_what_did_not_change_is_not_logged_or_written_again(upgraded: Connector) -> None:
    assert upgraded.has("monthly_cost"), "the old views are there"
    before, loads = upgraded.state(), upgraded.load_ids()
    summary = load(upgraded, account_of(LIVES[-1]), LAST_DAY)
    for counts in (summary.resources["phone_numbers"], summary.resources["release_requests"]):
        assert (counts.added, counts.changed, counts.removed, counts.complete) == (0, 0, 0, True)
    assert upgraded.state() == before
    assert upgraded.load_ids() == loads


@pytest.mark.slow
def test_tables_history_and_views_are_those_of_a_life_with_the_current_version_alone(upgraded: Connector) -> None:
    load(upgraded, moved_on(), TODAY)
    alone = Connector(upgraded.sandbox, upgraded.destination, dataset="alone")
    for life in LIVES:
        load(alone, account_of(life), life["day"], create_views=False)
    load(alone, moved_on(), TODAY)
    names = (*TABLES, "load_runs", *view_names())
    found, expected = upgraded.tables(*names), alone.tables(*names)
    for name in names:
        assert found[name] or name in OF_CALLS, name
        assert steady(found[name]) == steady(expected[name]), name
    kinds = [
        row["change_type"]
        for row in upgraded.rows("phone_number_changes")
        if row["changed_at"] == at(f"{TODAY}T06:00:00")
    ]
    assert sorted(kinds) == ["added", "added", "changed", "changed", "removed"]


def steady(rows: list[Row]) -> list[dict[str, str]]:
    """What runs of both versions have in common."""
    made = [{name: str(value) for name, value in sorted(row.items()) if name not in OF_THE_RUN} for row in rows]
    return sorted(made, key=str)
