"""The DAG, run by Airflow with its own database in a file."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest

from talkover.sandbox import Fault

from .conftest import UNAUTHORIZED, Deployment, leave_open


@pytest.fixture(scope="session")
def dag() -> Any:
    """The DAG, with retries that do not wait."""
    subprocess.run([str(Path(sys.executable).with_name("airflow")), "db", "migrate"], check=True, capture_output=True)
    dag = importlib.import_module("airflow_dag").talkover_load()
    dag.get_task("load").retry_delay = timedelta(seconds=0.1)
    return dag


@pytest.fixture(autouse=True)
def connection(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is where users of Airflow keep it, and nowhere else."""
    monkeypatch.delenv("TALKOVER_TOKEN")
    monkeypatch.setenv("AIRFLOW_CONN_TALKOVER", json.dumps({"conn_type": "generic", "password": "talq_sandbox"}))


def run(dag: Any) -> tuple[str, Any]:
    """The state of a new run and of its task."""
    finished = dag.test()
    (task,) = finished.get_task_instances()
    return finished.state, task


def test_a_run_fills_the_tables_and_returns_the_summary(dag: Any, deployment: Deployment) -> None:
    state, task = run(dag)
    assert state == "success"
    summary = task.xcom_pull(task_ids="load")
    assert summary["requests"] == 2
    assert summary["resources"]["phone_numbers"]["added"] == deployment.rows()["phone_numbers"] == 57


def test_a_second_run_adds_nothing(dag: Any, deployment: Deployment) -> None:
    run(dag)
    before = deployment.rows()
    state, task = run(dag)
    assert state == "success"
    assert task.xcom_pull(task_ids="load")["resources"]["phone_numbers"]["added"] == 0
    assert deployment.rows() == before | {"load_runs": 2}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SOURCES__TALKOVER__API_TOKEN", "talq_sandbox"),
        ("AIRFLOW_VAR_DLT_SECRETS_TOML", '[sources.talkover]\napi_token = "talq_sandbox"'),
    ],
)
def test_without_a_connection_dlts_settings_hold(
    dag: Any, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_TALKOVER")
    monkeypatch.setenv(variable, value)
    dlt.current.run_context().reload()  # a task has a process of its own, and reads settings anew
    assert run(dag)[0] == "success"
    assert deployment.rows()["phone_numbers"] == 57


def test_a_bad_token_fails_the_run_with_the_sentence_and_is_not_tried_again(
    dag: Any, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TALKOVER", json.dumps({"conn_type": "generic", "password": "talq_wrong"}))
    state, task = run(dag)
    assert (state, task.state, task.try_number) == ("failed", "failed", 1)
    assert len(deployment.sandbox.seen) == 1
    printed = "".join(capfd.readouterr())
    assert UNAUTHORIZED in printed
    assert "talq_wrong" not in printed


def test_what_may_pass_is_tried_again(dag: Any, deployment: Deployment) -> None:
    deployment.sandbox.faults = [Fault("500", times=2)]
    state, task = run(dag)
    assert (state, task.try_number) == ("success", 3)
    assert deployment.rows()["phone_numbers"] == 57


def test_what_is_open_fails_a_dag_of_its_own(
    dag: Any, deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    leave_open(deployment)
    run(dag)
    state, task = run(importlib.import_module("airflow_dag").talkover_alerts())
    assert (state, task.try_number) == ("failed", 1)
    assert "approved_still_listed +" in "".join(capfd.readouterr())


def test_that_dag_succeeds_where_nothing_is_open(dag: Any, deployment: Deployment) -> None:
    deployment.sandbox.accounts.requests.clear()
    run(dag)
    assert run(importlib.import_module("airflow_dag").talkover_alerts())[0] == "success"


def test_one_run_at_a_time_and_none_for_the_past(dag: Any) -> None:
    assert (dag.max_active_runs, dag.catchup) == (1, False)
