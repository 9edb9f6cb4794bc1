"""The documentation says what is there: every table, view and column, and the outputs are those of the queries.

`make docs` writes the made parts and the outputs anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from talkover.cli import main
from talkover.dlt_internals import ROW_COLUMNS
from talkover.report.alerts import OF_THE_VIEW
from talkover.sync.tables import KEYS, columns
from talkover.views import view_names
from talkover.views.descriptions import Description, describe_table, describe_view, described
from talkover.views.translation import DLT_TABLES

from .conftest import Connector
from .test_views import set_today

DOCS = Path(__file__).parent.parent / "docs"
REFERENCE = DOCS / "tables-and-views.md"
DOCUMENTED_ON = date(2026, 11, 22)
LOADS = [*(str(date(2026, month + 1, 1) - timedelta(days=1)) for month in range(1, 11)), str(DOCUMENTED_ON)]
TABLES_PART = re.compile(r"(<!-- tables: .*? -->\n).*(<!-- end of tables -->)", re.DOTALL)
COLUMNS = "| column | type | meaning |\n| --- | --- | --- |"
VIEW_PART = r"(\n### {}\n\n).+?(\n\n(?:(?!\n### ).)*?){}\n.*?(?=\n\n)"
"""Of a view, what it is and its columns; what stands between them is written by hand."""
EXAMPLE = re.compile(r"```sql\n(.*?)```\n\n```\n(.*?)```", re.DOTALL)
TYPES = {"VARCHAR": "text", "TIMESTAMP WITH TIME ZONE": "timestamp"}
UPDATES = "UPDATE_DOCS" in os.environ


def columns_part(description: Description, types: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {types[name]} | {meaning} |" for name, meaning in description.columns.items()]
    return "\n".join([COLUMNS, *rows])


def tables_part() -> str:
    """The tables with their columns, from the one place that defines them."""
    parts = []
    for table, key in KEYS.items():
        types = {name: column["data_type"] for name, column in columns(table).items()}
        keys = ", ".join(f"`{column}`" for column in key)
        description = describe_table(table)
        parts.append(f"### {table}\n\n{description.description} Key: {keys}.\n\n{columns_part(description, types)}")
    return "\n" + "\n\n".join(parts) + "\n\n"


def test_the_tables_are_described_as_they_are() -> None:
    text = REFERENCE.read_text()
    made, parts = TABLES_PART.subn(lambda part: part[1] + tables_part() + part[2], text)
    assert parts == 1
    if UPDATES:
        REFERENCE.write_text(made)
    assert made == REFERENCE.read_text()


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
def test_the_views_are_described_as_they_are(loaded: Connector) -> None:
    made = REFERENCE.read_text()
    with duckdb.connect("talkover_pipeline.duckdb") as connection:
        for view in view_names():
            there = connection.execute(f"describe talkover.{view}").fetchall()
            types = {name: TYPES.get(of_type, of_type.partition("(")[0].lower()) for name, of_type, *_ in there}
            description = describe_view(view)
            assert [*description.columns] == [*types], view
            section = re.compile(VIEW_PART.format(view, re.escape(COLUMNS)), re.DOTALL)
            assert section.search(made), f"{view} is not in {REFERENCE.name}"
            what, table = description.description.strip(), columns_part(description, types)
            made = section.sub(lambda part, what=what, table=table: part[1] + what + part[2] + table, made)
    if UPDATES:
        REFERENCE.write_text(made)
    assert made == REFERENCE.read_text()


def test_every_threat_is_held_by_a_test_that_is_there() -> None:
    table = [line for line in (DOCS / "security.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert len(table) > 20
    for line in table:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert named, line
        assert line.count("tests/") == len(named), line
        for file, test in named:
            assert f"\ndef {test}(" in (DOCS.parent / file).read_text(), test


def test_nothing_is_described_that_is_not_there() -> None:
    said = described()
    assert set(said["tables"]) == {*KEYS, *DLT_TABLES}
    assert set(said["row_columns"]) == set(ROW_COLUMNS)
    assert set(said["views"]) == set(view_names())
    descriptions = {name: describe_view(name) for name in view_names()}
    shared = set()
    for name, description in descriptions.items():
        own = said["views"][name].get("columns", {})
        assert set(own) <= set(description.columns), name
        shared |= set(description.columns) - set(own)
    assert set(said["columns"]) <= shared
    for name, description in (descriptions | {table: describe_table(table) for table in said["tables"]}).items():
        tested = {*description.key, *description.not_null, *description.values, *description.references}
        assert tested <= set(description.columns), name
        for place in description.references.values():
            table, _, column = place.partition(".")
            assert column in (describe_table(table) if table in KEYS else descriptions[table]).columns, name
    assert descriptions["findings"].values["finding"] == [*OF_THE_VIEW]


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
