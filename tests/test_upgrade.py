"""Databases that an earlier version wrote: the current one loads on top of them as if it had made them itself.

`fixtures/upgrade` holds what two versions left in DuckDB and PostgreSQL, dlt's own tables and views included, and the
account: `first` the first one that had views, after four loads, which made other fingerprints; `year` the one that
landed on 30 November 2026, after a year of two environments with agents and, at last, calls. `make.py` there says how.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import dlt
import psycopg2
import pytest
from pandas.testing import assert_frame_equal

from talkover import Summary
from talkover.load.copy import copy_account
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import CHANGE_LOGS
from talkover.views import view_names

from .conftest import TABLES, Connector, Row, at, changes
from .test_usage import OF_CALLS
from .test_views import sorted_rows

OLD = Path(__file__).parent / "fixtures/upgrade"


def unpacked(file: str) -> bytes:
    return lzma.decompress((OLD / f"{file}.xz").read_bytes())


LIVES: list[dict[str, Any]] = json.loads(unpacked("first/account.json"))
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


def restore_duckdb(version: str) -> None:
    Path("talkover_pipeline.duckdb").write_bytes(unpacked(f"{version}/duckdb"))


def restore_postgres(version: str) -> None:
    with (
        psycopg2.connect(os.environ["DESTINATION__POSTGRES__CREDENTIALS"]) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(unpacked(f"{version}/postgres.sql").decode())
    connection.close()


RESTORE: dict[str, Callable[[str], None]] = {"duckdb": restore_duckdb, "postgres": restore_postgres}


class Kept(Account):
    """An account that lists what the fixture kept of it."""

    def __init__(self, life: Mapping[str, Any]) -> None:
        super().__init__(size=0, founded=date.fromisoformat(life["day"]))
        self.numbers = {number["id"]: number for number in life["numbers"]}
        self.requests = {request["id"]: request for request in life["requests"]}
        self.calls = {date.fromisoformat(day): calls for day, calls in life.get("calls", {}).items()}
        self._kept_agents = life.get("agents", [])

    @property
    def agents(self) -> list[dict[str, Any]]:
        return self._kept_agents


def load(connector: Connector, account: Account, day: str, *, create_views: bool = True) -> Summary:
    with Sandbox(account) as connector.sandbox:
        return connector.load(observed_at=at(f"{day}T06:00:00"), create_views=create_views)


def restored(version: str, warehouse: str, sandbox: Sandbox) -> Connector:
    if warehouse not in RESTORE:
        pytest.skip(f"there is none of {warehouse}")
    RESTORE[warehouse](version)
    return Connector(sandbox, warehouse)


@pytest.fixture
def upgraded(warehouse: str, sandbox: Sandbox) -> Connector:
    return restored("first", warehouse, sandbox)


def moved_on() -> Account:
    """The account a while after the last load of the old version: every kind of change."""
    account = Kept(json.loads(json.dumps(LIVES[-1])))
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


def test_what_was_hashed_otherwise_is_not_logged_and_hashed_anew_once(upgraded: Connector) -> None:
    assert upgraded.has("monthly_cost"), "the old views are there"
    before = upgraded.state()
    assert changes(load(upgraded, Kept(LIVES[-1]), LAST_DAY)) == {(0, 0, 0)}
    after, loads = upgraded.state(), upgraded.load_ids()
    for table, rows in before.items():
        assert values(after[table], "row_fingerprint") == values(rows, "row_fingerprint"), table
    assert changes(load(upgraded, Kept(LIVES[-1]), LAST_DAY)) == {(0, 0, 0)}
    assert (upgraded.state(), upgraded.load_ids()) == (after, loads), "nothing is written again"


@pytest.mark.slow
def test_tables_history_and_views_are_those_of_a_life_with_the_current_version_alone(upgraded: Connector) -> None:
    load(upgraded, moved_on(), TODAY)
    alone = Connector(upgraded.sandbox, upgraded.destination, dataset="alone")
    for life in LIVES:
        load(alone, Kept(life), life["day"], create_views=False)
    load(alone, moved_on(), TODAY)
    names = (*TABLES, "load_runs", *view_names())
    found, expected = upgraded.tables(*names), alone.tables(*names)
    for name in names:
        assert found[name] or name in OF_CALLS, name
        # What is no longer the latest version keeps the fingerprint that it had.
        left_out = ["row_fingerprint"] if name in CHANGE_LOGS else []
        assert values(found[name], *left_out) == values(expected[name], *left_out), name
    kinds = [
        row["change_type"]
        for row in upgraded.rows("phone_number_changes")
        if row["changed_at"] == at(f"{TODAY}T06:00:00")
    ]
    assert sorted(kinds) == ["added", "added", "changed", "changed", "removed"]


@pytest.mark.slow
def test_a_year_is_gone_on_with_and_its_views_are_those_of_a_new_file(warehouse: str, sandbox: Sandbox) -> None:
    upgraded = restored("year", warehouse, sandbox)
    before, loads = upgraded.state(), upgraded.load_ids()
    accounts = {name: Kept(life) for name, life in json.loads(unpacked("year/account.json")).items()}
    with Sandbox({f"talq_{name}": account for name, account in accounts.items()}) as upgraded.sandbox:
        environments = {name: f"talq_{name}" for name in accounts}
        of_year = {"agents": True, "calls": True, "caller_key": "the fixture's is no secret"}
        instant = at(f"{accounts['production'].today}T06:00:00")
        summary = upgraded.load(api_token=None, environments=environments, observed_at=instant, **of_year)
    assert changes(summary) == {(0, 0, 0)}
    assert len(summary.resources) == 4
    assert all(summary.resources.values()), "agents and calls too"
    assert (upgraded.state(), upgraded.load_ids()) == (before, loads)
    copy_account(dlt.destinations.duckdb("copied.duckdb"), destination=warehouse)
    for name in view_names():
        copied = sorted_rows(name, destination=dlt.destinations.duckdb("copied.duckdb"))
        assert_frame_equal(sorted_rows(name, destination=warehouse), copied, check_dtype=False, obj=name)


def values(rows: list[Row], *left_out: str) -> list[dict[str, str]]:
    """What runs of both versions have in common.

    The first version wrote nulls into JSON, and dlt makes null of an empty text on its way into PostgreSQL.
    """
    unlike = OF_THE_RUN.union(left_out)
    made = [
        {name: str(None if value == "" else without_nulls(value)) for name, value in row.items() if name not in unlike}
        for row in rows
    ]
    return sorted(({name: row[name] for name in sorted(row)} for row in made), key=str)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value
