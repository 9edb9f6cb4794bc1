"""On DuckDB load_account sends Arrow tables, a pipeline of one's own sends rows: the tables must not tell which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import dlt
import duckdb
import pyarrow
import pytest

from talkover import talkover_source
from talkover.load.pipeline import Place
from talkover.sandbox import Account, Sandbox
from talkover.sync import run

from .conftest import TABLES, Connector, at
from .environments import ROOT

DAYS = ("2026-03-15T06:00:00", "2026-03-16T06:00:00")
SELECTS = (
    'select column_name, column_type, "null" from (describe {}.talkover.{})',
    "select * exclude (_dlt_id, _dlt_load_id) from {}.talkover.{}",
)
ROW_BY_ROW = "typed-jsonl"


pytestmark = pytest.mark.duckdb


def extracted(connector: Connector) -> dict[str, set[str]]:
    """The kinds of file that the last load extracted, by table."""
    kinds: dict[str, set[str]] = {}
    for steps in connector.pipeline().last_trace.last_extract_info.metrics.values():
        for file in steps[0]["job_metrics"]:
            kinds.setdefault(file.split(".")[0], set()).add(file.rsplit(".", 1)[1])
    return kinds


@pytest.mark.slow
def test_both_ways_make_the_same_tables(account: Account, sandbox: Sandbox, connector: Connector) -> None:
    own = dlt.pipeline("own", destination=dlt.destinations.duckdb("own.duckdb"), dataset_name="talkover")
    numbers = list(account.numbers.values())
    for day in DAYS:
        connector.load(observed_at=at(day), create_views=False)
        own.run(talkover_source(sandbox.token, base_url=sandbox.base_url, observed_at=at(day)))
        account.release(numbers.pop()["id"])
        numbers[0]["current_price"] += 1
        numbers[1] |= {"agents": [], "renewal_date": None, "created_at": "2026-03-01T10:00:00.123456+02:00"}
        numbers[2]["environment"] = None

    file = Place.of(connector.pipeline()).file
    with duckdb.connect() as connection:
        connection.execute(f"attach '{file}' as loaded (read_only)")
        connection.execute("attach 'own.duckdb' as own (read_only)")
        for table, select in product(TABLES, SELECTS):
            loaded, own_rows = (
                connection.execute(f"{select.format(name, table)} order by all").fetchall()
                for name in ("loaded", "own")
            )
            assert loaded == own_rows != []
        removed = "from loaded.talkover.phone_number_changes where change_type = 'removed' and agents is not null"
        assert connection.execute(f"select count(*) {removed}").fetchone() == (1,)


def test_dlt_takes_no_documented_row_one_by_one(connector: Connector) -> None:
    connector.load(create_views=False)
    assert extracted(connector) == {table: {"parquet"} for table in TABLES} | {"load_runs": {ROW_BY_ROW}}


def test_a_new_field_in_one_batch_of_many_gets_its_column(
    account: Account, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROWS_A_BATCH", 10)
    list(account.numbers.values())[25] |= {"carrier": "Vivo", "agents": [{"id": "a-1", "name": "Ana", "tone": 1}]}
    connector.load(create_views=False)
    assert extracted(connector)["phone_numbers"] == {"parquet", ROW_BY_ROW}
    assert len(connector.rows("phone_numbers")) == len(account.numbers)
    assert [row["carrier"] for row in connector.rows("phone_numbers") if row["carrier"]] == ["Vivo"]
    assert [row["agent_tone"] for row in connector.rows("phone_number_agents") if row["agent_tone"]] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["true", "false"])
def test_rows_have_ids_whatever_dlt_is_told_to_do_with_arrow_tables_of_others(
    setting: str, account: Account, loaded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ADD_DLT_ID", "ADD_DLT_LOAD_ID"):
        monkeypatch.setenv(f"NORMALIZE__PARQUET_NORMALIZER__{name}", setting)
    bought = account.buy()["id"]
    loaded.load(create_views=False)
    with loaded.pipeline().sql_client() as client:
        ids = client.execute_sql("select count(*), count(distinct _dlt_id) from phone_numbers")
        loads = client.execute_sql("select count(distinct _dlt_load_id) from phone_numbers")
        assert (ids, loads) == ([(len(account.numbers), len(account.numbers))], [(2,)])
    assert bought in loaded.by_id()


def test_arrow_tables_of_other_pipelines_in_the_process_stay_as_they_are(connector: Connector) -> None:
    connector.load(create_views=False)
    other = dlt.pipeline("other", destination=dlt.destinations.duckdb("other.duckdb"), dataset_name="theirs")
    other.run(pyarrow.table({"a": [1]}), table_name="others")
    with other.sql_client() as client:
        assert client.execute_sql("select * from others") == [(1,)]


@pytest.mark.slow
def test_dlt_is_quiet_with_the_settings_of_this_repository(connector: Connector) -> None:
    Path(".dlt").mkdir()
    shutil.copy(ROOT / ".dlt/config.toml", ".dlt")
    account = {"TALKOVER_TOKEN": connector.sandbox.token, "SOURCES__TALKOVER__BASE_URL": connector.sandbox.base_url}
    command = [sys.executable, "-m", "talkover", "load"]
    done = subprocess.run(command, env=os.environ | account, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
