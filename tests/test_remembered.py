"""Another destination than before: what a load says before it begins anew, and when it says nothing."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from talkover import AuthenticationError
from talkover.load.copy import copy_account
from talkover.sandbox import Account, Sandbox

from .conftest import TODAY, Connector

ANEW = "holds nothing yet: this load begins anew there. The history until now is in "


@pytest.fixture
def account() -> Account:
    return Account(seed=7, size=3, founded=TODAY)


class Asked(logging.Handler):
    """How many requests had been sent when a load said that it begins anew."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.requests: list[int] = []
        self._sandbox = sandbox

    def emit(self, record: logging.LogRecord) -> None:
        if ANEW in record.getMessage():
            self.requests.append(len(self._sandbox.seen))


@pytest.fixture
def asked(sandbox: Sandbox) -> Iterator[Asked]:
    handler = Asked(sandbox)
    logging.getLogger("talkover").addHandler(handler)
    yield handler
    logging.getLogger("talkover").removeHandler(handler)


@pytest.fixture
def elsewhere(warehouse: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """Another destination than the one that is configured: PostgreSQL, or on DuckDB another name."""
    if warehouse == "duckdb":
        monkeypatch.setenv("DESTINATION__OTHER__DESTINATION_TYPE", "duckdb")
        monkeypatch.setenv("DESTINATION__OTHER__CREDENTIALS", str(Path.cwd() / "other.duckdb"))
        return Connector(sandbox, "other")
    return Connector(sandbox, warehouse)


@pytest.mark.essential
def test_a_first_load_into_another_destination_says_where_the_history_is_before_any_request(
    sandbox: Sandbox, elsewhere: Connector, asked: Asked
) -> None:
    Connector(sandbox).load()
    sandbox.seen.clear()
    (note,) = elsewhere.load().notes
    place = elsewhere.load().destination
    assert note == (
        f"{place}, dataset talkover, {ANEW}{Path.cwd()}/talkover_pipeline.duckdb, dataset talkover, and stays there. "
        "To bring it along, drop what this load makes and run "
        f"`talkover copy --destination duckdb --to {elsewhere.destination}`"
    )
    assert asked.requests == [0]
    for connector in (elsewhere, Connector(sandbox)):  # both hold history now
        assert connector.load().notes == []


@pytest.mark.duckdb
def test_it_is_said_again_where_the_first_load_failed(
    sandbox: Sandbox, elsewhere: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(Path.cwd() / "numbers.duckdb"))
    Connector(sandbox).load()
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            elsewhere.load(api_token="talq_wrong")
    (note,) = elsewhere.load().notes
    assert ANEW in note


def test_it_is_said_where_the_working_directory_is_lost(sandbox: Sandbox, elsewhere: Connector) -> None:
    Connector(sandbox).load()
    shutil.rmtree("dlt")
    (note,) = elsewhere.load().notes
    assert f"{Path.cwd()}/talkover_pipeline.duckdb" in note


def test_a_copy_that_was_made_before_leaves_nothing_to_say(sandbox: Sandbox, elsewhere: Connector) -> None:
    Connector(sandbox).load()
    copy_account(elsewhere.destination)
    summary = elsewhere.load()
    assert summary.notes == []
    assert summary.resources["phone_numbers"].added == 0


@pytest.mark.duckdb
def test_a_load_that_failed_left_no_history(sandbox: Sandbox, elsewhere: Connector) -> None:
    with pytest.raises(AuthenticationError):
        Connector(sandbox).load(api_token="talq_wrong")
    assert elsewhere.load().notes == []


def test_another_dataset_is_another_place(connector: Connector) -> None:
    connector.load()
    (note,) = Connector(connector.sandbox, connector.destination, dataset="anew").load().notes
    where = f"--destination {connector.destination} --dataset talkover --to {connector.destination} --to-dataset anew"
    assert note.endswith(f"run `talkover copy {where}`")


@pytest.mark.duckdb
def test_another_file_of_the_same_destination_is_another_place(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(Path.cwd() / "one.duckdb"))
    Connector(sandbox).load()
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(Path.cwd() / "two.duckdb"))
    (note,) = Connector(sandbox).load().notes
    assert f"The history until now is in {Path.cwd()}/one.duckdb" in note
    assert note.endswith("drop what this load makes and copy as docs/backup.md says")


@pytest.mark.slow
@pytest.mark.duckdb
def test_the_command_line_says_so_on_stderr(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    Connector(sandbox).load()
    monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    command = [sys.executable, "-m", "talkover", "load", "--dataset", "anew"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.startswith(f"talkover: {Path.cwd()}/talkover_pipeline.duckdb, dataset anew, {ANEW}")


@pytest.mark.duckdb
def test_the_working_directory_keeps_the_files_of_the_last_loads(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkover.load.remembered.KEPT_LOADS", 1)
    for _ in range(2):
        connector.load(create_views=False)
    with connector.pipeline().sql_client() as client:
        loads = [load_id for (load_id,) in client.execute_sql("select load_id from talkover._dlt_loads")]
    assert len(loads) == 2
    assert connector.pipeline().list_completed_load_packages() == [max(loads)]
