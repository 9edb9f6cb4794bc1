"""The Dagster definitions, run by Dagster."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from talkover.sandbox import Fault
from talkover.sync.tables import KEYS, MORE_TABLES

from .conftest import UNAUTHORIZED, Deployment, leave_open

FILE = Path(__file__).parents[2] / "pipelines/dagster_definitions.py"


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with retries that do not wait."""
    policy = dg.RetryPolicy
    monkeypatch.setattr(dg, "RetryPolicy", lambda **settings: policy(**settings | {"delay": 0.01}))
    sys.modules.pop(FILE.stem, None)
    return importlib.import_module(FILE.stem)


def run(definitions: ModuleType, job: str = "talkover_load") -> dg.ExecuteInProcessResult:
    found = definitions.defs.resolve_job_def(job)
    return found.execute_in_process(instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Table to what Dagster shows of its materialization."""
    return {
        event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Asset and check to whether it passed."""
    return {
        f"{check.asset_key.path[-1]} {check.check_name}": check.passed for check in result.get_asset_check_evaluations()
    }


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.step_failure_data.user_failure_data.description for event in result.get_step_failure_events()]


def test_every_table_of_the_two_lists_is_an_asset(definitions: ModuleType) -> None:
    keys = definitions.defs.resolve_asset_graph().get_all_asset_keys()
    assert {tuple(key.path) for key in keys} == {("talkover", table) for table in KEYS if table not in MORE_TABLES}


def test_dagster_finds_the_definitions_valid(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("dagster")), "definitions", "validate", "-f", str(FILE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Validation successful" in done.stderr + done.stdout


def test_a_run_fills_the_tables_and_shows_what_it_did(definitions: ModuleType, deployment: Deployment) -> None:
    result = run(definitions)
    assert result.success
    shown = metadata(result)
    assert {table: figures["dagster/row_count"] for table, figures in shown.items()} == deployment.rows()
    numbers = shown["phone_numbers"]
    assert (numbers["listed"], numbers["added"], numbers["complete"], numbers["requests"]) == (57, 57, True, 2)
    usd = [
        row["monthly_renewal_cost"]
        for row in deployment.sandbox.accounts.numbers.values()
        if row["currency"] == "USD" and row["monthly_renewal_cost"] is not None
    ]
    assert numbers["monthly_cost default USD"] == pytest.approx(sum(usd))
    assert checks(result) == dict.fromkeys(
        ["phone_numbers is_fresh", "phone_numbers nothing_is_open", "release_requests is_fresh"], True
    )


def test_what_is_open_is_a_check_that_warns(definitions: ModuleType, deployment: Deployment) -> None:
    leave_open(deployment)
    (check,) = [
        check for check in run(definitions).get_asset_check_evaluations() if check.check_name == "nothing_is_open"
    ]
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["approved_still_listed"].value > 0
    assert "approved_still_listed +" in (check.description or "")


def test_a_second_run_adds_nothing(definitions: ModuleType, deployment: Deployment) -> None:
    run(definitions)
    before = deployment.rows()
    result = run(definitions)
    assert result.success
    assert metadata(result)["phone_numbers"]["added"] == 0
    assert deployment.rows() == before | {"load_runs": 2}


def test_a_table_that_was_never_filled_has_no_rows(definitions: ModuleType, deployment: Deployment) -> None:
    for number in deployment.sandbox.accounts.numbers.values():
        number["agents"] = []
    result = run(definitions)
    assert result.success
    assert metadata(result)["phone_number_agents"]["dagster/row_count"] == 0


def test_a_bad_token_fails_the_run_with_the_sentence_and_is_not_tried_again(
    definitions: ModuleType, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", "talq_wrong")
    result = run(definitions)
    assert not result.success
    (failure,) = failures(result)
    assert failure.startswith(UNAUTHORIZED)
    assert len(deployment.sandbox.seen) == 1


def test_what_may_pass_is_tried_again(definitions: ModuleType, deployment: Deployment) -> None:
    deployment.sandbox.faults = [Fault("500", times=2)]
    result = run(definitions)
    assert result.success
    assert len([event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]) == 2
    assert deployment.rows()["phone_numbers"] == 57


def test_the_check_fails_on_a_listing_that_is_too_old(
    definitions: ModuleType, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "MAX_AGE", definitions.MAX_AGE * 0)
    run(definitions)
    checks = run(definitions, "talkover_freshness").get_asset_check_evaluations()
    assert [check.passed for check in checks] == [False, False]


def test_the_check_fails_where_nothing_was_ever_loaded(definitions: ModuleType, deployment: Deployment) -> None:
    result = run(definitions, "talkover_freshness")
    assert not result.success
    assert "there is no" in str(result.get_step_failure_events()[0].step_failure_data.error)
