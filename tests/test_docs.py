"""The documentation says what is there: every table, view and column, and the outputs are those of the queries.

`make docs` writes the made parts and the outputs anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from talkover.cli import main
from talkover.sync.tables import KEYS, columns
from talkover.views import view_names

from .conftest import Connector
from .test_views import GRAIN, set_today

DOCS = Path(__file__).parent.parent / "docs"
REFERENCE = DOCS / "tables-and-views.md"
DOCUMENTED_ON = date(2026, 11, 22)
LOADS = [*(str(date(2026, month + 1, 1) - timedelta(days=1)) for month in range(1, 11)), str(DOCUMENTED_ON)]
TABLES_PART = re.compile(r"(<!-- tables: .*? -->\n).*(<!-- end of tables -->)", re.DOTALL)
EXAMPLE = re.compile(r"```sql\n(.*?)```\n\n```\n(.*?)```", re.DOTALL)
UPDATES = "UPDATE_DOCS" in os.environ

WHAT = {
    "phone_numbers": "A number the account holds now.",
    "phone_number_agents": "A number and an agent on it now; no rows where its agents are unknown.",
    "phone_number_changes": "A change of a number, with the row as it then was, without countdowns. Append-only.",
    "release_requests": "A release request. None is ever removed.",
    "release_request_changes": "A change of a release request. Append-only.",
    "agents": "An AI agent of the account; loaded where it is wanted.",
    "agent_phone_numbers": "An agent and a number that it answers on; no rows where its numbers are unknown.",
    "calls": "A call; loaded where it is wanted. None is ever removed.",
    "call_windows": "Days of calls that a run read in one environment: the ledger of calls.",
    "load_runs": "One environment in one run: the ledger.",
}


def tables_part() -> str:
    """The tables with their columns, from the one place that defines them."""
    parts = []
    for table, key in KEYS.items():
        rows = [
            f"| `{name}` | {column['data_type']} | {column['description']} |" for name, column in columns(table).items()
        ]
        keys = ", ".join(f"`{column}`" for column in key)
        parts.append(
            f"### {table}\n\n{WHAT[table]} Key: {keys}.\n\n| column | type | meaning |\n| --- | --- | --- |\n"
            + "\n".join(rows)
        )
    return "\n" + "\n\n".join(parts) + "\n\n"


def test_the_tables_are_described_as_they_are() -> None:
    text = REFERENCE.read_text()
    made = TABLES_PART.sub(lambda part: part[1] + tables_part() + part[2], text)
    if UPDATES:
        REFERENCE.write_text(made)
    assert made == (REFERENCE.read_text())


@pytest.fixture
def documented(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    """The demo account as the documentation shows it."""
    for instant in LOADS:
        more = ["--with", "agents,calls", "--calls-since", "2026-09-01"] if instant == LOADS[-1] else []
        assert main(["load", "--demo", "--observed-at", instant, *more]) == 0
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(workspace / "talkover_demo.duckdb"))
    set_today(Connector(None), DOCUMENTED_ON)  # type: ignore[arg-type]
    with duckdb.connect("talkover_demo.duckdb") as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


@pytest.mark.duckdb
def test_every_column_of_every_view_is_described(loaded: Connector) -> None:
    text = REFERENCE.read_text()
    with duckdb.connect("talkover_pipeline.duckdb") as connection:
        for view in view_names():
            section = re.search(rf"\n### {view}\n(.*?)(?=\n### |\Z)", text, re.DOTALL)
            assert section, f"{view} is not in {REFERENCE.name}"
            described = set(re.findall(r"`(\w+)`", section[1]))
            there = {row[0] for row in connection.execute(f"describe talkover.{view}").fetchall()}
            assert there - described == set(), view
    assert set(view_names()) == set(GRAIN)


@pytest.mark.slow
def test_every_example_gives_the_output_that_is_shown(documented: duckdb.DuckDBPyConnection) -> None:
    text = REFERENCE.read_text()

    def run(example: re.Match[str]) -> str:
        return f"```sql\n{example[1]}```\n\n```\n{table_of(documented, example[1])}```"

    made = EXAMPLE.sub(run, text)
    if UPDATES:
        REFERENCE.write_text(made)
    assert made == REFERENCE.read_text()
    assert len(EXAMPLE.findall(text)) == len(view_names()) + 1


def table_of(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """The result as plain text, columns aligned."""
    result = connection.execute(query)
    names = [column[0] for column in result.description or []]
    rows = [["" if value is None else str(value) for value in row] for row in result.fetchall()]
    widths = [max(len(line[position]) for line in [names, *rows]) for position in range(len(names))]
    lines = [
        "  ".join(f"{value:<{width}}" for value, width in zip(line, widths, strict=True)) for line in [names, *rows]
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)
