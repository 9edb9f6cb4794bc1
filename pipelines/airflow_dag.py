"""A DAG that loads Talkover each morning. Copy it into Airflow's DAGs folder; running it again is always safe.

The token is the password of the connection `talkover`. Without that connection, and for everything else, settings are
dlt's: environment variables of the worker, or dlt's Airflow variable `dlt_secrets_toml`. They are read when the task
runs.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import BaseHook, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

import talkover

CONNECTION = "talkover"
NOT_RETRYABLE = (
    talkover.AuthenticationError,
    talkover.ConfigurationError,
    talkover.InvalidRow,
    talkover.SuspiciousRemoval,
)
"""What fails in the same way however often it is tried: somebody has to act."""


@dag(
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,  # a listing shows the present alone: past days cannot be fetched
    max_active_runs=1,
    tags=["talkover"],
    doc_md=__doc__,
)
def talkover_load() -> None:
    @task(
        retries=2,
        retry_delay=timedelta(minutes=5),
        retry_exponential_backoff=3,
        execution_timeout=timedelta(hours=1),
    )
    def load() -> dict[str, Any]:
        """Loads every phone number and release request; the summary is the task's XCom."""
        os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # before the first load imports dlt
        try:
            summary = talkover.load_account(**connection())
        except NOT_RETRYABLE as error:
            raise AirflowFailException(str(error)) from None
        return summary.as_dict()

    load()


def connection() -> dict[str, Any]:
    """The token as an argument; none where there is no such connection, so that dlt looks it up."""
    try:
        return {"api_token": BaseHook.get_connection(CONNECTION).password}
    except AirflowNotFoundException:
        return {}


talkover_load()
