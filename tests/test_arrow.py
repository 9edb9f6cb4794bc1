"""What dlt is handed: Arrow tables, in the format that the destination loads best."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dlt
import pyarrow
import pytest

from talkover.sandbox import Account

from .conftest import Connector
from .environments import ROOT

FORMATS = {"duckdb": "parquet", "postgres": "csv", "ducklake": "parquet"}
"""Elsewhere dlt makes objects of Arrow tables, in which JSON would be a text."""
ROW_BY_ROW = "typed-jsonl"


def kinds(step: Any) -> dict[str, set[str]]:
    """The kinds of file that a step of the last load made, by table."""
    made: dict[str, set[str]] = {}
    for metrics in step.metrics.values():
        for file in metrics[0]["job_metrics"]:
            made.setdefault(file.split(".")[0], set()).add(file.rsplit(".", 1)[1])
    return made


@pytest.mark.essential
def test_no_row_is_taken_one_by_one_and_each_destination_gets_its_best_format(
    account: Account, loaded: Connector
) -> None:
    for number in list(account.numbers.values())[:3]:
        number |= {"type": "fax", "carrier": "Vivo"}
    loaded.load(create_views=False, full_refresh=True)
    trace = loaded.pipeline().last_trace
    extracted, normalized = kinds(trace.last_extract_info), kinds(trace.last_normalize_info)
    sent = {"phone_numbers", "phone_number_agents", "phone_number_changes", "release_requests"}
    assert extracted["load_runs"] == {ROW_BY_ROW}
    if loaded.destination in FORMATS:
        assert {table: extracted[table] for table in sent} == {key: {"parquet"} for key in sent}
        assert {table: normalized[table] for table in sent} == {key: {FORMATS[loaded.destination]} for key in sent}


@pytest.mark.duckdb
def test_a_new_field_of_one_row_gets_its_column(account: Account, connector: Connector) -> None:
    list(account.numbers.values())[25] |= {"carrier": "Vivo", "agents": [{"id": "a-1", "name": "Ana", "tone": 1}]}
    connector.load(create_views=False)
    assert len(connector.rows("phone_numbers")) == len(account.numbers)
    assert [row["carrier"] for row in connector.rows("phone_numbers") if row["carrier"]] == ["Vivo"]
    assert "agent_tone" not in connector.rows("phone_number_agents")[0], "a field of an agent may hold a secret"


def test_a_new_field_of_several_types_keeps_every_value(account: Account, connector: Connector) -> None:
    """In columns that dlt, too, would make of it: the first type has the name, each other one a variant of it."""
    first, second, third = list(account.numbers.values())[:3]
    first["score"], second["score"] = 5, "five"
    connector.load(create_views=False)
    third["score"] = True
    first["score"] = {"of": 5}
    connector.load(create_views=False)
    rows = connector.by_id()
    found = {
        (number["id"], name): rows[number["id"]][name]
        for number in (first, second, third)
        for name in rows[number["id"]]
        if name.startswith("score") and rows[number["id"]][name] is not None
    }
    assert found == {
        (first["id"], "score__v_json"): {"of": 5},
        (second["id"], "score__v_text"): "five",
        (third["id"], "score__v_bool"): True,
    }
    assert connector.load(create_views=False).resources["phone_numbers"].changed == 0


@pytest.mark.slow
@pytest.mark.duckdb
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


@pytest.mark.duckdb
def test_arrow_tables_of_other_pipelines_in_the_process_stay_as_they_are(connector: Connector) -> None:
    connector.load(create_views=False)
    other = dlt.pipeline("other", destination=dlt.destinations.duckdb("other.duckdb"), dataset_name="theirs")
    other.run(pyarrow.table({"a": [1]}), table_name="others")
    with other.sql_client() as client:
        assert client.execute_sql("select * from others") == [(1,)]


@pytest.mark.slow
@pytest.mark.duckdb
def test_dlt_is_quiet_with_the_settings_of_the_example(connector: Connector) -> None:
    Path(".dlt").mkdir()
    shutil.copy(ROOT / ".dlt/example.config.toml", ".dlt/config.toml")
    account = {"TALKOVER_TOKEN": connector.sandbox.token, "SOURCES__TALKOVER__BASE_URL": connector.sandbox.base_url}
    command = [sys.executable, "-m", "talkover", "load"]
    done = subprocess.run(command, env=os.environ | account, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
