"""A folder of its own for every test, a sandbox API, and a connector that loads the one into the other."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from talkover import Summary, load_account
from talkover.load import open_pipeline
from talkover.sandbox import Account, Sandbox

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

Row = dict[str, Any]

TODAY = date(2026, 3, 15)
TABLES = (
    "phone_numbers",
    "phone_number_agents",
    "phone_number_changes",
    "release_requests",
    "release_request_changes",
)
SETTINGS = ("TALKOVER_", "SOURCES__", "DESTINATION__", "DLT_", "NORMALIZE__", "LOAD__", "DATA_WRITER__")


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with dlt's files inside, none of the caller's settings, and no long waits."""
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.01")
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "5")
    monkeypatch.chdir(tmp_path)
    dlt.current.run_context().reload()
    yield tmp_path
    dlt.current.run_context().reload()


@pytest.fixture
def account() -> Account:
    """57 numbers: three pages of the API's default size."""
    return Account(seed=7, size=57, founded=TODAY)


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    with Sandbox(account) as running:
        yield running


class Connector:
    """Loads a sandbox and reads the tables."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def load(self, **arguments: Any) -> Summary:
        arguments = {"api_token": self.sandbox.token, "base_url": self.sandbox.base_url} | arguments
        return load_account(**arguments)

    def rows(self, table: str) -> list[Row]:
        """Whole rows without dlt's own columns, in a fixed order; none where there is no table."""
        with open_pipeline().sql_client() as client:
            try:
                with client.execute_query(f"select * from {client.make_qualified_table_name(table)}") as cursor:
                    names = [column[0] for column in cursor.description]
                    rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
            except DestinationUndefinedEntity:
                return []
        rows = [{name: plain(value) for name, value in row.items() if not name.startswith("_dlt_")} for row in rows]
        return sorted(rows, key=lambda row: [str(row.get(name)) for name in SORTED_BY])

    def by_id(self, table: str = "phone_numbers") -> dict[str, Row]:
        return {row["id"]: row for row in self.rows(table)}

    def state(self) -> dict[str, list[Row]]:
        """Every table but the ledger."""
        return {table: self.rows(table) for table in TABLES}

    def load_ids(self) -> dict[str, set[str]]:
        """The loads that wrote the rows of every table but the ledger."""
        with open_pipeline().sql_client() as client:
            return {
                table: {
                    row[0]
                    for row in client.execute_sql(f"select _dlt_load_id from {client.make_qualified_table_name(table)}")
                }
                for table in TABLES
            }


def plain(value: Any) -> Any:
    """JSON columns come as text from some destinations."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


SORTED_BY = ("id", "phone_number_id", "agent_id", "changed_at", "environment_key", "started_at")


@pytest.fixture
def connector(sandbox: Sandbox) -> Connector:
    return Connector(sandbox)


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(f"{text}+00:00")
