"""A Prefect flow that loads Talkover each morning, and one that fails where something is to be done.

Running either again is always safe.

    python pipelines/prefect_flow.py        # serves both, and runs them at five and at eight

The token is the secret block `talkover-token`. Without that block, and for everything else, settings are dlt's, as in
the README. They are read when the task runs.
"""

from __future__ import annotations

import os
from typing import Any

from prefect import flow, serve, task
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

import talkover
from talkover.text import markdown

BLOCK = "talkover-token"
NOT_RETRYABLE = (
    talkover.AuthenticationError,
    talkover.ConfigurationError,
    talkover.InvalidRow,
    talkover.SuspiciousRemoval,
)
"""What fails in the same way however often it is tried: somebody has to act."""


def may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed load is worth another try."""
    return not isinstance(state.result(raise_on_failure=False), NOT_RETRYABLE)


@task(retries=2, retry_delay_seconds=[300, 1800], retry_condition_fn=may_pass, cache_policy=NO_CACHE)
def load() -> dict[str, Any]:
    """Loads every phone number and release request."""
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # before the first load imports dlt
    return talkover.load_account(**secret_block()).as_dict()


@flow(name="talkover-load")
def talkover_load() -> dict[str, Any]:
    """Loads the account; the summary is the flow's result and the artifact `talkover-load`."""
    summary = load()
    create_markdown_artifact(as_markdown(summary), key="talkover-load", description="What the last load did")
    return summary


@task(retries=2, retry_delay_seconds=300, cache_policy=NO_CACHE)
def look() -> list[dict[str, Any]]:
    """What is open in what was loaded."""
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    return [finding.as_dict() | {"text": str(finding)} for finding in talkover.open_findings()]


@flow(name="talkover-alerts")
def talkover_alerts() -> Any:
    """Fails where a number is paid for in vain, a price changed, or the data is stale.

    A flow of its own: where the load fails, the data grows old.
    """
    found = look()
    return Failed(message="\n".join(finding["text"] for finding in found)) if found else found


def secret_block() -> dict[str, Any]:
    """The token as an argument; none where there is no such block, so that dlt looks it up."""
    try:
        return {"api_token": Secret.load(BLOCK).get()}
    except ValueError:
        return {}


def as_markdown(summary: dict[str, Any]) -> str:
    figures = ("listed", "added", "changed", "removed", "unchanged")
    lines = ["| | " + " | ".join(figures) + " |", "| --- |" + " ---: |" * len(figures)]
    lines += [
        f"| {resource} | " + " | ".join(str(counts[figure]) if counts else "not requested" for figure in figures) + " |"
        for resource, counts in summary["resources"].items()
    ]
    lines += ["", "| a month | numbers | cost |", "| --- | ---: | ---: |"]
    lines += [
        f"| {markdown(rate['environment_key'])} {markdown(str(rate['currency']))} | {rate['numbers']} "
        f"| {rate['monthly_cost']} |"
        for rate in summary["run_rate"]
    ]
    notes = map(markdown, summary["notes"])
    return "\n".join([*lines, "", *notes, f"{summary['requests']} requests, {summary['seconds']} s"])


if __name__ == "__main__":
    serve(
        talkover_load.to_deployment(name="daily", cron="0 5 * * *"),
        talkover_alerts.to_deployment(name="daily", cron="0 8 * * *"),
        limit=1,
        pause_on_shutdown=False,
    )
