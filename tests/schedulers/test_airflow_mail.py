"""The DAG that mails the report, run by Airflow, to an SMTP server on loopback.

CHROMIUM is the browser, or empty: then the mail has no PDF.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import talkover

from ..mail_server import AUTHORITY, PASSWORD, USER, MailServer, attachments, mail_server
from .conftest import Deployment

ATTACHED = ["report.pdf", "report.html"] if os.environ["CHROMIUM"] else ["report.html"]


@pytest.fixture(scope="session")
def dag() -> Any:
    """The DAG, tried once."""
    subprocess.run([str(Path(sys.executable).with_name("airflow")), "db", "migrate"], check=True, capture_output=True)
    dag = importlib.import_module("airflow_dag").talkover_report()
    dag.get_task("mail").retries = 0
    return dag


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """The mail server, with its password where users of Airflow keep it."""
    with mail_server() as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))
        monkeypatch.setenv("AIRFLOW_VAR_TALKOVER_REPORT_TO", "board@example.com,finance@example.com")
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection(running))
        yield running


def connection(server: MailServer, password: str = PASSWORD) -> str:
    """As docs/schedulers.md has it made."""
    extra = {"disable_ssl": True, "from_email": USER}
    address = {"conn_type": "smtp", "host": "localhost", "port": server.port}
    return json.dumps(address | {"login": USER, "password": password, "extra": extra})


def test_a_run_mails_the_report(dag: Any, deployment: Deployment, server: MailServer) -> None:
    talkover.load_account()
    assert dag.test().state == "success"
    (mail,) = server.mails
    assert server.recipients == ["board@example.com", "finance@example.com"]
    assert (mail["From"], mail["Subject"]) == (USER, "What our phone numbers cost")
    attached = attachments(mail)
    assert [*attached] == ATTACHED
    assert "What changed this month" in attached["report.html"].decode()
    assert attached.get("report.pdf", b"%PDF").startswith(b"%PDF")


def test_nothing_leaves_where_nothing_is_loaded(
    dag: Any, deployment: Deployment, server: MailServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dag.test().state == "failed"
    assert "run `talkover load` first" in "".join(capfd.readouterr())
    assert (server.mails, server.tries) == ([], [])


def test_a_refused_password_fails_the_run_and_is_not_shown(
    dag: Any,
    deployment: Deployment,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    talkover.load_account()
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection(server, "another secret"))
    assert dag.test().state == "failed"
    assert server.mails == []
    printed = "".join(capfd.readouterr())
    assert "SMTPAuthenticationError" in printed
    assert "another secret" not in printed
