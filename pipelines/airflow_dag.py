"""A DAG that loads Talkover each morning, one that fails where something is to be done, and one that mails the report.

Copy this file into Airflow's DAGs folder. Running the first two again is always safe; the third mails again.

The token is the password of the connection `talkover`. Without that connection, and for everything else, settings are
dlt's: environment variables of the worker, or dlt's Airflow variable `dlt_secrets_toml`. They are read when the task
runs. The mail goes through the connection `smtp_default` to the addresses of the Airflow variable `talkover_report_to`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.sdk import BaseHook, Variable, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

import talkover

CONNECTION = "talkover"
RECIPIENTS = "talkover_report_to"
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


@dag(
    schedule="0 8 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["talkover"],
    doc_md="Fails where a number is paid for in vain, a price changed, or the data is stale.",
)
def talkover_alerts() -> None:
    @task(retries=2, retry_delay=timedelta(minutes=5), execution_timeout=timedelta(minutes=30))
    def nothing_is_open() -> None:
        """Looks at what was loaded. A DAG of its own: where the load fails, the data grows old."""
        os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
        if found := talkover.open_findings():
            raise AirflowFailException("\n".join(map(str, found)))

    nothing_is_open()


@dag(
    schedule="0 6 1 * *",  # "0 6 * * 1" is each Monday
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["talkover"],
    doc_md="Mails the report, as a page and as a PDF.",
)
def talkover_report() -> None:
    @task(retries=2, retry_delay=timedelta(minutes=5), execution_timeout=timedelta(minutes=30))
    def mail() -> None:
        """Makes the report in a folder that is gone afterwards: one of an earlier day is never mailed."""
        os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
        from airflow.providers.smtp.hooks.smtp import SmtpHook  # Airflow brings it; a load does without

        recipients = Variable.get(RECIPIENTS)
        with TemporaryDirectory() as folder:
            files = made_report(Path(folder))
            with SmtpHook() as smtp:
                smtp.send_email_smtp(
                    to=recipients,
                    subject="What our phone numbers cost",
                    html_content="The report is attached.",
                    files=[str(file) for file in files],
                )

    mail()


def made_report(folder: Path) -> list[Path]:
    """The report as a PDF and as a page. CHROMIUM is another browser, with its flags; empty, there is no PDF."""
    from talkover.report.account import Account
    from talkover.report.rates import read_rates
    from talkover.report.report import write_report

    page, pdf = folder / "report.html", folder / "report.pdf"
    write_report(Account(), page, rates=read_rates(None))
    browser = shlex.split(os.environ.get("CHROMIUM", "chromium"))
    if not browser:
        return [page]
    flags = ["--headless", f"--user-data-dir={folder / 'profile'}", "--no-pdf-header-footer"]
    subprocess.run([*browser, *flags, f"--print-to-pdf={pdf}", str(page)], check=True, timeout=300)
    return [pdf, page]


def connection() -> dict[str, Any]:
    """The token as an argument; none where there is no such connection, so that dlt looks it up."""
    try:
        return {"api_token": BaseHook.get_connection(CONNECTION).password}
    except AirflowNotFoundException:
        return {}


talkover_load()
talkover_alerts()
talkover_report()
