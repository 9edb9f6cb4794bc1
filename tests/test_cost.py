"""What a run costs, without a clock: requests, rows written and imports. Seconds are for benchmarks/."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from talkover.api.fields import PHONE_NUMBERS, RELEASE_REQUESTS
from talkover.sandbox import Account, Sandbox

from .conftest import TABLES, TODAY, Connector
from .listings import extract

PER_PAGE = 100
DDL = re.compile(r"\W*(create|alter|drop|rename)\b", re.IGNORECASE)
DESTINATIONS = Path(__file__).parent.parent / "docs/destinations.md"
TEN = 10

RUN = """
import sys
from talkover.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""
HEAVY = {"dlt", "duckdb", "numpy", "orjson", "pandas", "pyarrow", "pydantic", "requests", "sqlglot", "tenacity"}
ONLY_FOR_REPORTS = {
    "IPython",
    "ipykernel",
    "jinja2",
    "jupyter_client",
    "markdown_it",
    "matplotlib",
    "nbclient",
    "nbformat",
}
OF_OTHER_COMMANDS = {"talkover.report", "talkover.load.check", "talkover.sandbox"}


def pages_of(sandbox: Sandbox) -> list[tuple[str, str]]:
    return sorted((request.endpoint, request.query["page"]) for request in sandbox.seen)


def test_a_first_run_asks_for_every_page_once_and_for_nothing_else() -> None:
    account = Account(size=1000, founded=TODAY)
    numbers, requests = (math.ceil(len(rows) / PER_PAGE) for rows in (account.numbers, account.requests))
    with Sandbox(account) as sandbox:
        extract(sandbox)
    expected = [(PHONE_NUMBERS, page + 1) for page in range(numbers)]
    expected += [(RELEASE_REQUESTS, page + 1) for page in range(requests)]
    assert pages_of(sandbox) == sorted((endpoint, str(page)) for endpoint, page in expected)


def test_a_later_run_asks_for_no_more_than_a_first_one(loaded: Connector) -> None:
    assert loaded.load(per_page=20, create_views=False).requests == 4
    expected = [(PHONE_NUMBERS, "1"), (PHONE_NUMBERS, "2"), (PHONE_NUMBERS, "3"), (RELEASE_REQUESTS, "1")]
    assert pages_of(loaded.sandbox) == expected


def test_a_run_writes_only_rows_that_changed(account: Account, loaded: Connector) -> None:
    assert written(loaded) == {table: len(rows) for table, rows in loaded.tables(*TABLES, "load_runs").items()}

    loaded.load(create_views=False)
    assert written(loaded) == dict.fromkeys(TABLES, 0) | {"load_runs": 1}

    for number in [number for number in account.numbers.values() if len(number["agents"] or []) == 1][:TEN]:
        number["current_price"] = 99.5
        number["agents"] = [number["agents"][0] | {"name": "Nora"}]
    for request in list(account.requests.values())[:2]:
        request["reason"] = "Another reason than before"
    loaded.load(create_views=False)
    of_requests = {"release_requests": 2, "release_request_changes": 2}
    assert written(loaded) == dict.fromkeys(TABLES, TEN) | of_requests | {"load_runs": 1}


def written(connector: Connector) -> dict[str, int]:
    """How many rows of each table the newest load wrote."""
    with connector.pipeline().sql_client() as client:

        def loads(table: str) -> list[str]:
            found = client.execute_sql(f"select _dlt_load_id from {client.make_qualified_table_name(table)}")
            return [row[0] for row in found or []]

        newest = max(loads("load_runs"))
        return {table: loads(table).count(newest) for table in [*TABLES, "load_runs"]}


@pytest.mark.core
@pytest.mark.essential
def test_a_run_without_changes_issues_a_known_number_of_statements_and_no_ddl(
    loaded: Connector, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.load()
    with monkeypatch.context() as patched:
        seen = watch_statements(loaded, patched)
        loaded.load()
    assert [statement for statement in seen if DDL.match(statement)] == []
    assert len(seen) == documented_statements(request.node.callspec.params["warehouse"])


def documented_statements(destination: str) -> int:
    """Of docs/destinations.md."""
    _, counted = DESTINATIONS.read_text(encoding="utf-8").split("| destination | statements |")
    rows = re.findall(r"^\| ([\w, ]+) \| (\d+) \|$", counted, re.MULTILINE)
    of = {name: int(statements) for names, statements in rows for name in names.lower().split(", ")}
    return of[{"postgres": "postgresql", "lake": "ducklake"}.get(destination, destination)]


def watch_statements(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the destination is sent from now on: dlt's client of each sends it through one method."""
    seen: list[str] = []
    with connector.pipeline().sql_client() as client:
        of_client = type(client)
    execute = of_client.execute_query

    def watched(client: Any, query: Any, *values: Any, **options: Any) -> Any:
        seen.extend(filter(None, map(str.strip, str(query).split(";"))))
        return execute(client, query, *values, **options)

    monkeypatch.setattr(of_client, "execute_query", watched)
    return seen


@pytest.mark.parametrize("arguments", [["--help"], ["load", "--help"], ["--version"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    assert imported(arguments) & HEAVY == set()


@pytest.mark.slow
@pytest.mark.duckdb
def test_a_load_without_changes_imports_nothing_that_it_does_not_need(
    loaded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", loaded.sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", loaded.sandbox.base_url)
    assert imported(["load"]) & (ONLY_FOR_REPORTS | OF_OTHER_COMMANDS) == set()


def imported(arguments: Sequence[str]) -> set[str]:
    """The modules that a cold process has imported when the command ends."""
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())
