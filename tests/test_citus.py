"""PostgreSQL on many nodes: docs/citus.md, followed on the cluster that `--citus` names. Nothing else runs this."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from pandas.testing import assert_frame_equal

from talkover.sandbox import Account, Sandbox

from .conftest import TODAY, Connector
from .test_views import GRAIN, OF_CALLS_ALONE, noon, sorted_rows

SPREAD = Path(__file__).parent.parent / "docs/citus.sql"


@pytest.mark.citus
def test_every_view_of_tables_on_many_nodes_gives_the_rows_that_duckdb_gives(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.config.getoption("--citus")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", url)
    monkeypatch.setenv("DESTINATION__POSTGRES__CREATE_INDEXES", "false")
    execute(url, "drop schema if exists talkover, talkover_staging cascade")
    account = Account(seed=5, size=40, founded=TODAY - timedelta(days=90))
    reference = {"destination": "duckdb", "pipeline_name": "reference"}
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox, "postgres")
        for days in (90, 45, 0):
            account.advance(TODAY - timedelta(days=days))
            for where in (reference, {}):
                connector.load(observed_at=noon(account.today), **where)
            if days == 90:
                execute(url, SPREAD.read_text(encoding="utf-8"))
    for name in GRAIN.keys() - OF_CALLS_ALONE:
        found, expected = sorted_rows(name, destination="postgres"), sorted_rows(name, **reference)
        assert_frame_equal(found, expected, check_dtype=False, obj=name)


def execute(url: str, statements: str) -> None:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statements)
    connection.close()
