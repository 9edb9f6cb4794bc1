"""A folder of its own, a sandbox and a DuckDB file for every test of a scheduler.

These tests run in the environment of their scheduler: tests/test_schedulers.py makes it and starts them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from talkover.sandbox import Account, Sandbox

sys.path.insert(0, str(Path(__file__).parents[2] / "pipelines"))

TABLES = (
    "phone_numbers",
    "phone_number_agents",
    "phone_number_changes",
    "release_requests",
    "release_request_changes",
    "load_runs",
)
UNAUTHORIZED = "GET /phone-numbers (environment 'default') answered 401: Unauthorized."


class Deployment:
    """A scheduler's surroundings: the API it asks and the file it loads into."""

    def __init__(self, sandbox: Sandbox, file: Path) -> None:
        self.sandbox = sandbox
        self.file = file

    def rows(self) -> dict[str, int]:
        """Table to number of rows, as DuckDB itself counts them."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return {
                table: connection.sql(f"select count(*) from talkover.{table}").fetchall()[0][0] for table in TABLES
            }


OPEN = {
    "id": "open",
    "status": "approved",
    "requested_at": "2026-01-01T00:00:00Z",
    "resolved_at": "2026-01-02T00:00:00Z",
}
"""A request that was approved long ago."""


def leave_open(deployment: Deployment) -> None:
    """A number is still paid for."""
    account = deployment.sandbox.accounts
    account.requests["open"] = OPEN | {"phone_number_id": next(iter(account.numbers))}


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """57 numbers behind HTTP, and the settings that reach them; each request is tried once, so that faults show."""
    with Sandbox(Account(seed=7, size=57, founded=date(2026, 3, 15))) as sandbox:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
        monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "numbers.duckdb"))
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
        monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
        monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
        yield Deployment(sandbox, tmp_path / "numbers.duckdb")
