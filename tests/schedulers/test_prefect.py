"""The flow, run by Prefect with a server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import prefect_flow
import pytest
from prefect import Flow
from prefect.artifacts import Artifact
from prefect.blocks.system import Secret
from prefect.testing.utilities import prefect_test_harness

from talkover import AuthenticationError
from talkover.sandbox import Fault

from .conftest import UNAUTHORIZED, Deployment, leave_open

Load = Flow[[], dict[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[None]:
    """Prefect's server on loopback, with the token where users of Prefect keep it."""
    with prefect_test_harness(server_startup_timeout=120):
        Secret(value="talq_sandbox").save(prefect_flow.BLOCK)
        yield


@pytest.fixture
def flow(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Load:
    """The flow, with retries that do not wait."""
    monkeypatch.delenv("TALKOVER_TOKEN")
    monkeypatch.setattr(prefect_flow, "load", prefect_flow.load.with_options(retry_delay_seconds=0))
    return prefect_flow.talkover_load


def test_a_run_fills_the_tables_and_shows_the_summary(flow: Load, deployment: Deployment) -> None:
    summary = flow()
    assert summary["requests"] == 2
    assert summary["resources"]["phone_numbers"]["added"] == deployment.rows()["phone_numbers"] == 57
    artifact = Artifact.get("talkover-load")
    assert artifact is not None
    assert "| phone_numbers | 57 | 57 | 0 | 0 | 0 |" in artifact.data


def test_a_second_run_adds_nothing(flow: Load, deployment: Deployment) -> None:
    flow()
    before = deployment.rows()
    assert flow()["resources"]["phone_numbers"]["added"] == 0
    assert deployment.rows() == before | {"load_runs": 2}


def test_no_text_of_the_account_is_markdown() -> None:
    text, shown = "a|b\n[c](http://d)", "a&#124;b&#92;n&#91;c&#93;(http&#58;&#47;&#47;d)"
    rate = {"environment_key": text, "currency": text, "numbers": 1, "monthly_cost": "1.00"}
    made = prefect_flow.as_markdown({"resources": {}, "run_rate": [rate], "notes": [text], "requests": 1, "seconds": 1})
    assert made.splitlines()[5:] == [f"| {shown} {shown} | 1 | 1.00 |", "", shown, "1 requests, 1 s"]


def test_without_a_block_dlts_settings_hold(
    flow: Load, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_flow, "BLOCK", "talkover-none")
    monkeypatch.setenv("TALKOVER_TOKEN", deployment.sandbox.token)
    flow()
    assert deployment.rows()["phone_numbers"] == 57


def test_a_bad_token_fails_the_run_with_the_sentence_and_is_not_tried_again(
    flow: Load, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    Secret(value="talq_wrong").save("talkover-wrong")
    monkeypatch.setattr(prefect_flow, "BLOCK", "talkover-wrong")
    state = flow(return_state=True)
    assert state.is_failed()
    assert UNAUTHORIZED in state.message
    with pytest.raises(AuthenticationError):
        state.result()
    assert len(deployment.sandbox.seen) == 1


def test_what_may_pass_is_tried_again(flow: Load, deployment: Deployment) -> None:
    deployment.sandbox.faults = [Fault("500", times=2)]
    assert flow()["resources"]["phone_numbers"]["added"] == 57
    assert len(deployment.sandbox.seen) == 4


def test_what_is_open_fails_a_flow_of_its_own(flow: Load, deployment: Deployment) -> None:
    leave_open(deployment)
    flow()
    state = prefect_flow.talkover_alerts(return_state=True)
    assert state.is_failed()
    assert "approved_still_listed +" in state.message


def test_that_flow_succeeds_where_nothing_is_open(flow: Load, deployment: Deployment) -> None:
    deployment.sandbox.accounts.requests.clear()
    flow()
    assert prefect_flow.talkover_alerts() == []
